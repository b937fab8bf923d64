"""Onnx.proto against the descriptors of the `onnx` package: every message, field number, type and label that we read."""
import os
import subprocess

import onnx
from google.protobuf import descriptor_pb2

SCHEMA = os.path.join(os.path.dirname(__file__), "..", "..", "lib", "Import")


def own_descriptors(tmp_path):
    out = tmp_path / "schema.bin"
    subprocess.run(["protoc", f"-I{SCHEMA}", f"--descriptor_set_out={out}", "Onnx.proto"], check=True, cwd=SCHEMA)
    files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    return files.file[0]


def official():
    proto = descriptor_pb2.FileDescriptorProto()
    onnx.ModelProto.DESCRIPTOR.file.CopyToProto(proto)
    return proto


def compare(own, theirs, path, problems):
    fields = {field.number: field for field in theirs.field}
    for field in own.field:
        where = f"{path}.{field.name}"
        other = fields.get(field.number)
        if other is None or other.name != field.name:
            problems.append(f"{where} = {field.number}: the specification has {other and other.name}")
        elif (field.type, field.label) != (other.type, other.label) or \
                field.type_name.split(".")[-1] != other.type_name.split(".")[-1]:
            problems.append(f"{where}: type or label differs")
        elif field.options.packed != other.options.packed:
            problems.append(f"{where}: packing differs")
    nested = {message.name: message for message in theirs.nested_type}
    for message in own.nested_type:
        compare(message, nested[message.name], f"{path}.{message.name}", problems)
    enums = {enum.name: {v.name: v.number for v in enum.value} for enum in theirs.enum_type}
    for enum in own.enum_type:
        for value in enum.value:
            if enums[enum.name].get(value.name) != value.number:
                problems.append(f"{path}.{enum.name}.{value.name} = {value.number}")


def test_schema_agrees_with_the_onnx_package(tmp_path):
    own, theirs = own_descriptors(tmp_path), official()
    assert own.package == "llmc.onnx"
    messages = {message.name: message for message in theirs.message_type}
    problems = []
    for message in own.message_type:
        compare(message, messages[message.name], message.name, problems)
    assert len(own.message_type) >= 12
    assert not problems, "\n".join(problems)


def test_schema_has_the_fields_debian_lacks(tmp_path):
    messages = {message.name: message for message in own_descriptors(tmp_path).message_type}
    assert any(field.name == "metadata_props" for field in messages["NodeProto"].field)
    values = {v.name for v in messages["TensorProto"].enum_type[0].value}
    assert {"UINT4", "INT4", "FLOAT4E2M1", "BFLOAT16"} <= values
