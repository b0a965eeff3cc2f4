"""Looking into a net, in reading order:

units.py            Unit: one unit in one image, how a user names it;  receptive_field.py  which pixels it sees
forward_pass.py     ForwardPass: images that went up once, to be asked for classes, maps and strongest units
projection.py       Projection: what a unit saw;  windowed.py  the one way down, through receptive fields alone;
                    boxes.py  which windows of the maps below these are
trace.py            the steps of a way down, in numbers;  controls.py  with an ingredient exchanged
perturbed.py        up again where an image has changed;  occluder.py  a grey square over it
contributions.py    what each unit adds to the difference of two logits;  images.py  projections as images
top_activations.py  the images that excite each feature map most;  scan_record.py  those in a file
earlier_scans.py    the same, with what earlier scans found
shortcuts.py        rawconv.project and rawconv.classify: from an image to an answer in one call
"""
