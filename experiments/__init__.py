"""Functions that return an experiment."""

from neurosal.experiments.sal_digits import sal_digits, sal_digits_choices, sal_digits_rates

__all__ = ["sal_digits", "sal_digits_choices", "sal_digits_rates"]
