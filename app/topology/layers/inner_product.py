"""InnerProduct."""

from __future__ import annotations

from app.topology import caffe_pb2
from app.topology.errors import LayerFault
from app.topology.layers.registry import Outcome, Shape, axis_of, count, layer


@layer("InnerProduct", "inner_product_param", has_weights=True)
def inner_product(options: caffe_pb2.LayerParameter, bottoms: tuple[Shape, ...]) -> Outcome:
    given = options.inner_product_param
    if not given.num_output:
        raise LayerFault("num_output is missing", "num_output")
    axis = axis_of(bottoms[0], given.axis)
    inputs, outputs = count(bottoms[0][axis:]), given.num_output
    weights = (inputs, outputs) if given.transpose else (outputs, inputs)
    return Outcome(
        tops=((*bottoms[0][:axis], outputs),),
        weights=(weights, (outputs,)) if given.bias_term else (weights,),
        multiply_adds=count(bottoms[0][:axis]) * inputs * outputs,
    )
