"""Random small circuits in continuous time, for property tests. Every class that a circuit in time may have is drawn,
and each of its fields; tests/spiking/test_random_circuits.py fails where one is not."""
