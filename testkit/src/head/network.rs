//! A regression as an ONNX network: `Gemm`, then `Softmax`.

use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, type_proto,
};

use super::regression::Regression;

/// The file's bytes: `features` [1, n] in, `probabilities` [1, classes] out.
pub fn encode(regression: &Regression) -> Vec<u8> {
    let classes = regression.weights.len();
    let features = regression.weights.first().map_or(0, Vec::len);
    let weights: Vec<f32> = regression.weights.iter().flatten().copied().collect();
    let graph = GraphProto {
        name: "head".into(),
        node: vec![
            node("Gemm", &["features", "weights", "bias"], "logits", attribute("transB", 1)),
            node("Softmax", &["logits"], "probabilities", attribute("axis", 1)),
        ],
        initializer: vec![
            tensor("weights", &[classes, features], &weights),
            tensor("bias", &[classes], &regression.bias),
        ],
        input: vec![value("features", features)],
        output: vec![value("probabilities", classes)],
        ..GraphProto::default()
    };
    let model = ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 13 }],
        producer_name: "arcticd-testkit".into(),
        graph: Some(graph),
        ..ModelProto::default()
    };
    model.encode_to_vec()
}

fn node(operator: &str, inputs: &[&str], output: &str, attribute: AttributeProto) -> NodeProto {
    NodeProto {
        name: operator.to_lowercase(),
        op_type: operator.into(),
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.into()],
        attribute: vec![attribute],
        ..NodeProto::default()
    }
}

fn attribute(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i: value, r#type: AttributeType::Int as i32, ..AttributeProto::default() }
}

fn tensor(name: &str, shape: &[usize], values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: shape.iter().map(|side| *side as i64).collect(),
        data_type: DataType::Float as i32,
        raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..TensorProto::default()
    }
}

fn value(name: &str, length: usize) -> ValueInfoProto {
    let side =
        |value: usize| Dimension { value: Some(dimension::Value::DimValue(value as i64)), ..Dimension::default() };
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(TensorShapeProto { dim: vec![side(1), side(length)] }),
    };
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() }),
        ..ValueInfoProto::default()
    }
}
