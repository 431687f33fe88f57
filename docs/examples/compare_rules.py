# %% [markdown]
# Three rules as one experiment of two seeds; then one table, one page, and figures for a paper.

# %%
import neurosal as ns
from neurosal.analysis import compare, report

experiment = ns.Experiment.from_dict(
    {
        "name": "compare_rules",
        "title": "BP, FA and the read-out alone on digits",
        "data": {"name": "digits", "split": {"train": 0.8, "test": 0.2}},
        "arms": {
            rule: {"recipe": {"circuit": "mlp", "arguments": {"sizes": [64, 32, 10]}, "rule": rule}}
            for rule in ("bp", "fa", "shallow")
        },
        "seeds": [0, 1],
        "training": {
            "epochs": 2,
            "batch_size": 16,
            "optimizer": {"kind": "sgd", "lr": 0.1},
            "record": [{"what": "angle", "every": 20}],
        },
    }
)
run = ns.run(experiment, store="runs/compare_rules", device="cpu")

# %%
print(compare.table(compare(run)))

# %%
print(report.write(report(run), "runs/compare_rules/report.html"))
for path in report.figures(run, "runs/compare_rules/figures"):
    print(path)
