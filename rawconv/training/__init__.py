"""Training a net, in reading order:

runs.py         how a command begins or resumes a run;  loop.py  its epochs;  step.py  a step;
step_graph.py   most of a step as one CUDA graph
optimizer.py    gradient descent with the paper's filter renormalisation;  recipes.py  how each net is trained
evaluation.py   how well a net answers, and where it is wrong;  testing.py  the same of a checkpoint
trained_on.py   the pictures that a net was trained on;  gradient_check.py  its gradients against finite differences
diagnostics.py  what goes wrong in training, as sentences;  memory_model.py  how much memory a step takes
log.py          what is written after every epoch;  release.py  which rawconv wrote a run
"""
