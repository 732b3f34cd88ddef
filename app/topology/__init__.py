"""Prototxt and what can be said about it without torch: nets, shapes, checks, the zoo, the texts of a download.

- `text`: read(text) → Source; Source.net(phase) → Net. Faults raise TopologyError (`errors`: .issues of line, column,
  message). By default TRAIN runs with the stage "train" and TEST with "val", as in DIGITS.
- `net`: Net, Layer, Phase. A blob's name may be made again by a layer that works in place: follow the layers in order.
- `shapes`: infer(net, {blob: shape}) → Shapes of LayerInfo (top_shapes, parameter_shapes in the order of a
  .caffemodel, parameters, multiply_adds); the rules are in `layers/`, one function per type
- `heads`: loss_weights(layer), losses(net), main_loss(net), main_accuracy(net)
- `deploy`: deploy_net(source) → the Net that predicts: inputs (image,), outputs (probabilities,)
- `fit`: fit(text, classes) → text; fit_source(source, classes) → Source
- `fine_tuning`: trained_weights(text, input_shape, classes) → {weight: shape}; match_weights(wanted, given) → table
- `retraining`: retrainable(text) → the text of a trained net, ready for another dataset
- `support`: support_page() → docs/layers.md, the table of layer types
- `check`: check(text, channels, height, width, classes, batch_size) → Report; never raises
- `data`: data_settings(source, phase) → what its data layers say about batch size and transform
- `zoo`: zoo() → list of ZooEntry; zoo_entry(id)
- `writing`: train_val_text(text, preprocessing, classes, …), deploy_text(text, preprocessing, classes), deploy_message
- `diagram`: diagram_svg(text, channels, height, width, classes) → inline SVG of the DAG
- `difference`: compare(old_source, new_source) → list of LayerChange, what changed layer by layer
- `caffe_pb2`: the messages, generated from `caffe.proto` (NetParameter, Datum, BlobProto, SolverParameter …)
"""
