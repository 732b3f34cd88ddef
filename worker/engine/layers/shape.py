"""Layers that move values without changing them: Concat, Slice, Split, Flatten, Reshape, Tile, Crop, Silence."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from worker.engine.layers.registry import LayerModule, Site, layer


@layer("Concat")
class Concat(LayerModule):
    makes_fresh_output = True

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options.concat_param
        self.axis = site.axis(options.concat_dim if options.HasField("concat_dim") else options.axis)
        for shape in site.shapes[1:]:
            rest = [size for axis, size in enumerate(site.shape) if axis != self.axis]
            if len(shape) != len(site.shape) or [size for axis, size in enumerate(shape) if axis != self.axis] != rest:
                raise site.fail(f"bottoms may differ in axis {self.axis} only, found {site.shape} and {shape}")

    def forward(self, *bottoms: Tensor) -> Tensor:
        return torch.cat(bottoms, self.axis)


@layer("Slice")
class Slice(LayerModule):
    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options.slice_param
        self.axis = site.axis(options.slice_dim if options.HasField("slice_dim") else options.axis)
        size, tops = site.shape[self.axis], len(site.layer.tops)
        points = [int(point) for point in options.slice_point]
        if not points:
            if size % tops:
                raise site.fail(f"{size} along axis {self.axis} do not divide into {tops} tops")
            points = [size // tops * part for part in range(1, tops)]
        edges = [0, *points, size]
        if len(points) != tops - 1 or any(low >= high for low, high in pairwise(edges)):
            raise site.fail(f"slice_point: expected {tops - 1} rising numbers below {size}, found {points}")
        self.sizes = [high - low for low, high in pairwise(edges)]

    def forward(self, values: Tensor) -> tuple[Tensor, ...]:
        return torch.split(values, self.sizes, self.axis)


@layer("Split")
class Split(LayerModule):
    def forward(self, values: Tensor) -> tuple[Tensor, ...]:
        return (values,) * len(self.layer.tops)


@layer("Flatten")
class Flatten(LayerModule):
    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options.flatten_param
        self.axis, self.end_axis = site.axis(options.axis), site.axis(options.end_axis)
        if self.end_axis < self.axis:
            raise site.fail(f"end_axis {options.end_axis} comes before axis {options.axis}")

    def forward(self, values: Tensor) -> Tensor:
        return values.flatten(self.axis, self.end_axis)


@layer("Reshape")
class Reshape(LayerModule):
    """Gives some axes new sizes: 0 copies the bottom's, -1 takes what is left over."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options.reshape_param
        self.sizes = [int(size) for size in options.shape.dim]
        self.axis = site.axis(options.axis, end=True)
        self.end = len(site.shape) if options.num_axes == -1 else self.axis + int(options.num_axes)
        if options.num_axes < -1 or self.end > len(site.shape):
            raise site.fail(f"num_axes {options.num_axes} from axis {self.axis} exceeds its bottom {site.shape}")
        if self.sizes.count(-1) > 1 or any(size < -1 for size in self.sizes):
            raise site.fail(f"dim: expected sizes with at most one -1, found {self.sizes}")
        if any(size == 0 and self.axis + place >= len(site.shape) for place, size in enumerate(self.sizes)):
            raise site.fail(f"dim: 0 copies an axis that its bottom {site.shape} does not have, in {self.sizes}")

    def forward(self, values: Tensor) -> Tensor:
        sizes = [values.shape[self.axis + place] if size == 0 else size for place, size in enumerate(self.sizes)]
        return values.reshape(*values.shape[: self.axis], *sizes, *values.shape[self.end :])


@layer("Tile")
class Tile(LayerModule):
    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options.tile_param
        if options.tiles < 1:
            raise site.fail(f"tiles: expected 1 or more, found {options.tiles}")
        self.repeats = [1] * len(site.shape)
        self.repeats[site.axis(options.axis)] = int(options.tiles)

    def forward(self, values: Tensor) -> Tensor:
        return values.repeat(self.repeats)


@layer("Crop")
class Crop(LayerModule):
    """Cuts the first bottom to the size of the second along `axis` and all that follow."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        options = site.options.crop_param
        self.axis = site.axis(options.axis)
        cropped = len(site.shape) - self.axis
        offsets = [int(offset) for offset in options.offset] or [0]
        if len(offsets) not in (1, cropped):
            raise site.fail(f"offset: expected one value or {cropped}, found {len(offsets)}")
        self.offsets = offsets * cropped if len(offsets) == 1 else offsets
        for place, offset in enumerate(self.offsets):
            axis = self.axis + place
            if offset + site.shapes[1][axis] > site.shape[axis]:
                raise site.fail(f"offset {offset} and size {site.shapes[1][axis]} exceed its bottom {site.shape}")

    def forward(self, values: Tensor, pattern: Tensor) -> Tensor:
        for place, offset in enumerate(self.offsets):
            axis = self.axis + place
            values = values.narrow(axis, offset, pattern.shape[axis])
        return values


@layer("Silence")
class Silence(LayerModule):
    """Takes blobs that nobody else wants, so that they are no outputs of the net."""

    def forward(self, *bottoms: Tensor) -> tuple[Tensor, ...]:  # noqa: ARG002
        return ()
