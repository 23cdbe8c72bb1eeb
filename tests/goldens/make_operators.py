#!/usr/bin/env python3
"""Makes operators.golden: what ONNX Runtime computes for the cases of ../kernel-cases.h.

Needs numpy, onnx and onnxruntime; the test that reads the file needs none of them.

The file is a list of records. A record is one line "OP<tab>INPUTS<tab>ATTRS<tab>OUTPUTS", as in the
table, then the values of the inputs whose values the table does not give (f p n c q: f32, d: i64),
then for each output one line "TYPE SHAPE" and its values. Values are little-endian and row-major,
without padding. Left out are cases with epilogues, those of more than MAX_ELEMENTS, and what ONNX
Runtime has no implementation for: these are printed.
"""
import pathlib
import re

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

SEED = 7
MAX_ELEMENTS = 8000
OPSET = 21
HERE = pathlib.Path(__file__).parent
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30, 88.5], np.float32)
TYPES = {np.dtype(np.float32): 'f32', np.dtype(np.int64): 'i64', np.dtype(np.int32): 'i32',
         np.dtype(np.bool_): 'bool'}


def read_cases():
    text = (HERE.parent / 'kernel-cases.h').read_text()
    string = r'"((?:[^"\\]|\\.)*)"'
    pattern = re.compile(r'\{\s*' + string + r',\s*' + string + r',\s*((?:' + string +
                         r'\s*)+)(?:,\s*(NULL|' + string + r'))?(?:,\s*(\d+))?\s*\}')
    for match in pattern.finditer(text):
        attrs = ''.join(re.findall(string, match.group(3)))
        epilogues = match.group(5)
        yield (match.group(1), match.group(2), attrs, epilogues not in (None, 'NULL'),
               int(match.group(7) or 1))


def make_input(text, rng):
    kind, value = text[0], text[2:]
    if kind in 'xi':
        return np.array([int(v) for v in value.split(',') if v], np.int64)
    if kind == 's':
        return np.array([float(v) for v in value.split(',')], np.float32)
    shape = () if value == 'scalar' else tuple(int(v) for v in value.split('x'))
    if kind == 'd':
        return rng.integers(-50, 50, shape, np.int64)
    low, high = (0.1, 2.1) if kind in 'pq' else (-2.0, 2.0)
    array = rng.uniform(low, high, shape).astype(np.float32)
    if kind == 'n':
        flat = array.reshape(-1)
        for i in range(1, flat.size, 3):
            flat[i] = SPECIAL[i // 3 % SPECIAL.size]
    return np.asarray(array)


def make_attrs(op, text):
    schema = onnx.defs.get_schema(op, OPSET)
    attrs = {}
    for part in filter(None, text.split(';')):
        name, value = part.split('=')
        kind = schema.attributes[name].type
        parse = {'INT': int, 'FLOAT': float, 'STRING': str,
                 'INTS': lambda v: [int(x) for x in v.split()],
                 'FLOATS': lambda v: [float(x) for x in v.split()]}[kind.name]
        attrs[name] = parse(value)
    return attrs


def run(op, inputs, attrs, n_outputs):
    names = [f'x{i}' if x is not None else '' for i, x in enumerate(inputs)]
    outputs = [f'y{i}' for i in range(n_outputs)]
    node = helper.make_node(op, names, outputs, **attrs)
    feeds, values, initializers = {}, [], []
    for name, array in zip(names, inputs):
        if array is None:
            continue
        if array.ndim == 1 and array.dtype == np.int64 or op == 'Resize' and name != 'x0':
            initializers.append(onnx.numpy_helper.from_array(array, name))
        else:
            feeds[name] = array
            values.append(helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape))
    results = [onnx.ValueInfoProto(name=name) for name in outputs]
    graph = helper.make_graph([node], 'case', values, results, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', OPSET)], ir_version=10)
    model = onnx.shape_inference.infer_shapes(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(),
                                           providers=['CPUExecutionProvider'])
    return session.run(None, feeds)


def main():
    rng = np.random.default_rng(SEED)
    count = 0
    with open(HERE / 'operators.golden', 'wb') as out:
        for op, text, attr_text, fused, n_outputs in read_cases():
            if fused or op.startswith('lcip.'):
                continue
            parts = text.split(' ') if text else []
            inputs = [None if p == '-' else make_input(p, rng) for p in parts]
            if any(x is not None and x.size > MAX_ELEMENTS for x in inputs):
                continue
            # Clip's bounds are scalars.
            feeds = [x.reshape(()) if op == 'Clip' and i > 0 and x is not None else x
                     for i, x in enumerate(inputs)]
            try:
                results = run(op, feeds, make_attrs(op, attr_text), n_outputs)
            except Exception as error:  # whatever ONNX Runtime cannot do is listed
                print(f'left out: {op}({text}) {{{attr_text}}}: {str(error).splitlines()[0][:150]}')
                continue
            if any(r.size > MAX_ELEMENTS for r in results):
                continue
            out.write(f'{op}\t{text}\t{attr_text}\t{n_outputs}\n'.encode())
            for part, array in zip(parts, inputs):
                if part[0] in 'fpncqd':
                    out.write(np.ascontiguousarray(array).tobytes())
            for result in results:
                shape = 'x'.join(str(n) for n in result.shape) or 'scalar'
                out.write(f'{TYPES[result.dtype]} {shape}\n'.encode())
                out.write(np.ascontiguousarray(result).tobytes())
            count += 1
    print(f'{count} cases, seed {SEED}, ONNX Runtime {onnxruntime.__version__}')


if __name__ == '__main__':
    main()
