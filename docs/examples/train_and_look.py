# %% [markdown]
# Train a circuit whose feedback synapses are its own, look at the run, and write its report.
#
# Every `# %%` begins a cell in editors that know them; `python docs/examples/train_and_look.py` runs the whole in
# seconds.

# %%
import neurosal as ns
from neurosal import circuits, rules

data = ns.data.load("digits", split={"train": 0.8, "test": 0.2})
circuit = rules.kp(circuits.mlp(64, 32, 10))  # Kolen-Pollack: feedback learns from the same products as feedforward
network = ns.compile(circuit, seeds=range(3), device="cpu")
run = ns.train(
    network,
    data,
    epochs=3,
    batch_size=16,
    optimizer=ns.SGD(lr=0.1, weight_decay=1e-3),
    record=[
        ns.probe("angle", every=10),
        ns.probe("update_angle", every=30),
        ns.probe("weight", "hidden1_to_output", epochs=3),
    ],
    store="runs/train_and_look",
)

# %% A run prints as text and, in a notebook, as a card.
run  # noqa: B018

# %% Figures show themselves in a notebook; anywhere else they are saved.
run.plot.curves().savefig("runs/train_and_look/curves.png")
run.plot.symmetry().savefig("runs/train_and_look/symmetry.pdf")

# %% The numbers behind a figure are labelled arrays.
from neurosal.analysis import symmetry  # noqa: E402

angles = symmetry(run)["angle_mean"].sel(pair="hidden1_to_output").isel(arm=0)
print(f"angle of feedback to forward weights: {float(angles[0]):.0f}° at first, {float(angles[-1]):.0f}° then")

# %% Everything on one page that opens offline.
from neurosal.analysis import report  # noqa: E402

page = report(run)
print(page)
print(f"open {report.write(page, 'runs/train_and_look/report.html')}")
