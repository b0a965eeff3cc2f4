"""The experiments of the paper, one file each, and what they share.

    occlusion.py       figure 7: what a grey square does to a map and to the class
    invariance.py      figure 5: shifts, scales and turns against the distance of features;  linearity.py  how straight
    correspondence.py  table 1: does hiding the same part change the same features?
    filters.py         figure 6: first-layer filters, dead, dominant or aliased
    evolution.py       figure 4: strongest units over the epochs
    controls.py        what the pictures owe to weights, switches and rules
    ablation.py        table 3: nets with layers removed or resized
    transfer.py        tables 4 to 6, figure 9: a new classifier on fixed layers;  table_6.py  of several classes
    layers.py          table 7: classifiers on the features of layers 1..n;  features.py  the features themselves
    ensemble.py        table 2: the mean of several nets

Each has `run(subject, study, ...)`: it computes in steps that `study` remembers, so that an
interrupted experiment goes on where it stopped and ends with the same numbers, and returns a
Result.

    subject.py  the net, the pictures and the device of an experiment;  study.py  steps, folder, results in files
    trained.py  nets that an experiment trains;  held_out.py  a net and classes that it has not seen
    folds.py    a few pictures of each class, drawn several times;  classifiers.py  softmax and linear SVM on features
    transfer_ways.py  how transfer.py learns;  average_precision.py  how table 6 is measured
    layer_kernels.py  features that are too many for memory: feature_files.py, on the disk; kernel.py, their products
    intervals.py     how sure a mean is;  marked_parts.py  pictures whose eyes and noses are marked
    evidence.py      what a projection says beside nulls, for occlusion.py;  deletion.py  deletion and insertion
    control_variants.py  what controls.py compares;  control_page.py, occlusion_page.py, transfer_page.py and
    invariance_page.py  figures
    ablation_table.py  the rows of table 3;  ablation_nets.py  nets trained elsewhere;  ablation_page.py  its figure
    filter_trainings.py, filter_measures.py, arms.py, filters_page.py  what filters.py trains, measures, compares, draws
    twins.py         a net trained again with its data in another order;  evolution_page.py  figure of evolution.py
"""
