"""Small files of weights: kernels in float16, and nothing in the file that changes with time."""

import os
from pathlib import Path

import h5py
import numpy as np
from h5py import h5f, h5g, h5p

from keras_resnet.manifest import ENTRY, Manifest

# Groups of HDF5 1.8 take a tenth of the room of older ones. All of Keras's readers know them.
VERSION = h5f.LIBVER_V18


def write(source: Path, target: Path, kernels: str, manifest: Manifest) -> None:
    """Copies a `.weights.h5` file, with kernels of another type and another manifest.

    Scales, shifts and statistics stay float32: they are few, and variances have a wide range. No
    times are stored: the same weights give the same bytes.

    Args:
        source: the file to copy.
        target: the file to write.
        kernels: "float16" or "float32"; all arrays of more than one dimension are kernels.
        manifest: of the new file.
    """
    told = np.frombuffer(manifest.to_json().encode(), np.uint8)
    untimed = h5p.create(h5p.GROUP_CREATE)
    untimed.set_obj_track_times(False)
    with h5py.File(source) as old, _created(target) as new:

        def copy(name: str, node: h5py.Group | h5py.Dataset) -> None:
            if isinstance(node, h5py.Dataset):
                kind = np.dtype(kernels) if node.ndim > 1 else node.dtype
                data = told if name == ENTRY else node[()].astype(kind)
                made = new.create_dataset(name, data=data, track_times=False)
            else:
                made = h5py.Group(h5g.create(new.id, name.encode(), gcpl=untimed))
            for key in sorted(node.attrs):
                made.attrs[key] = node.attrs[key]

        old.visititems(copy)


def _created(path: Path) -> h5py.File:
    untimed = h5p.create(h5p.FILE_CREATE)
    untimed.set_obj_track_times(False)
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_libver_bounds(VERSION, VERSION)
    return h5py.File(h5f.create(os.fsencode(path), h5f.ACC_TRUNC, untimed, access))
