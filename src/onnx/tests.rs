#![allow(clippy::unwrap_used)]
use prost::Message;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};

use super::*;

fn node(kind: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto { name: format!("{output}_node"), ..super::node(kind, inputs, output, Vec::new()) }
}

fn info(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: name.into(), ..Default::default() }
}

/// x -> a -> b, a -> c (unused by the cut at b), with a weight for b and one for c.
fn proto() -> ModelProto {
    let graph = GraphProto {
        node: vec![node("Relu", &["x"], "a"), node("Mul", &["a", "w"], "b"), node("Add", &["a", "v"], "c")],
        input: vec![info("x")],
        output: vec![info("b"), info("c")],
        initializer: vec![
            Constant::f32([2], vec![1.0, -2.5]).to_proto("w"),
            Constant::f32([], vec![3.0]).to_proto("v"),
        ],
        ..Default::default()
    };
    ModelProto { ir_version: 8, graph: Some(graph), ..Default::default() }
}

fn edited(edit: impl FnOnce(&mut GraphProto)) -> Result<Graph, OnnxError> {
    let mut proto = proto();
    edit(proto.graph.as_mut().unwrap());
    Graph::parse(&proto.encode_to_vec())
}

#[test]
fn what_is_written_reads_back_the_same() {
    let mut graph = edited(|_| ()).unwrap();
    let bytes = graph.encode().unwrap();
    let again = Graph::parse(&bytes).unwrap();
    assert_eq!(again.to_proto(), proto());
    assert_eq!(again.constant("w").unwrap().unwrap(), Constant::f32([2], vec![1.0, -2.5]));
    assert_eq!(again.constant("v").unwrap().unwrap().scalar(), Some(3.0));
}

#[test]
fn makers_and_readers_are_found() {
    let graph = edited(|_| ()).unwrap();
    assert_eq!(graph.producer("a"), Some(0));
    assert_eq!(graph.consumers("a"), [1, 2]);
    assert_eq!(graph.producer("x"), None);
    assert!(graph.is_constant("w") && !graph.is_constant("a"));
}

#[test]
fn a_cut_keeps_only_what_its_tensor_needs_whether_named_by_node_or_tensor() {
    for name in ["b", "b_node"] {
        let mut graph = edited(|_| ()).unwrap();
        assert_eq!(graph.cut_at(name).unwrap(), "b");
        assert_eq!(graph.outputs().collect::<Vec<_>>(), ["b"]);
        assert_eq!(graph.nodes().len(), 2);
        assert_eq!(graph.initializers().len(), 1);
    }
}

#[test]
fn a_cut_at_an_unknown_name_lists_near_ones() {
    let error = edited(|_| ()).unwrap().cut_at("b_nod").unwrap_err().to_string();
    assert!(error.contains("b_node"), "{error}");
}

#[test]
fn nodes_are_put_in_order() {
    let graph = edited(|graph| graph.node.reverse()).unwrap();
    assert_eq!(graph.nodes()[0].result(), "a");
    assert_eq!(graph.producer("a"), Some(0));
}

#[test]
fn constants_of_every_form_are_initializers() {
    let graph = edited(|graph| {
        let mut constant = node("Constant", &[], "k");
        constant.attribute = vec![attribute::tensor("value", &Constant::i64(vec![4, -1]))];
        graph.node.insert(0, constant);
        let mut typed = TensorProto { name: "q".into(), data_type: DataType::Int8 as i32, ..Default::default() };
        (typed.dims, typed.int32_data) = (vec![2], vec![-127, 5]);
        graph.initializer.push(typed);
        let mut half = TensorProto { name: "h".into(), data_type: DataType::Float16 as i32, ..Default::default() };
        (half.dims, half.raw_data) = (vec![3], [0x3c00_u16, 0xc180, 1].iter().flat_map(|b| b.to_le_bytes()).collect());
        graph.initializer.push(half);
    })
    .unwrap();
    assert_eq!(graph.constant("k").unwrap().unwrap().integers().unwrap(), [4, -1]);
    assert_eq!(graph.constant("q").unwrap().unwrap().data, Data::I8(vec![-127, 5]));
    assert_eq!(graph.constant("h").unwrap().unwrap().floats().unwrap(), [1.0, -2.75, 2f32.powi(-24)]);
}

#[test]
fn attributes_have_defaults_and_a_wrong_kind_is_refused() {
    let graph = edited(|graph| {
        graph.node[0].attribute = vec![attribute::int("axis", 1), attribute::ints("pads", &[1, 2])];
    })
    .unwrap();
    let node = &graph.nodes()[0];
    assert_eq!(node.int("axis", 7).unwrap(), 1);
    assert_eq!(node.int("other", 7).unwrap(), 7);
    assert_eq!(node.ints("pads").unwrap(), Some(&[1_i64, 2][..]));
    assert!(matches!(node.int("pads", 0), Err(OnnxError::Attribute { .. })));
}

#[test]
fn contradictions_are_refused() {
    let refused = |edit: fn(&mut GraphProto)| edited(edit).unwrap_err();
    let cycle = refused(|graph| graph.node[0].input[0] = "b".into());
    assert!(matches!(cycle, OnnxError::Cycle { .. }), "{cycle}");
    let own = refused(|graph| graph.node[0].input[0] = "a".into());
    assert!(matches!(own, OnnxError::Cycle { .. }), "{own}");
    let twice = refused(|graph| graph.node[1].output[0] = "a".into());
    assert!(matches!(twice, OnnxError::Duplicate { .. }), "{twice}");
    let nothing = refused(|graph| graph.node[1].input[1] = "absent".into());
    assert!(matches!(nothing, OnnxError::Dangling { .. }), "{nothing}");
    let output = refused(|graph| graph.output[0].name = "absent".into());
    assert!(matches!(output, OnnxError::Dangling { .. }), "{output}");
    let nameless = refused(|graph| graph.initializer[0].name.clear());
    assert!(matches!(nameless, OnnxError::Unsupported { .. }), "{nameless}");
}

#[test]
fn tensors_that_lie_about_their_size_are_refused() {
    let refused = |edit: fn(&mut TensorProto)| edited(|graph| edit(&mut graph.initializer[0])).unwrap_err().to_string();
    assert!(refused(|tensor| tensor.dims = vec![3]).contains("needs 3"));
    assert!(refused(|tensor| tensor.dims = vec![-1]).contains("shape"));
    assert!(refused(|tensor| tensor.dims = vec![i64::MAX, i64::MAX]).contains("impossible"));
    assert!(refused(|tensor| tensor.raw_data.truncate(7)).contains("middle"));
    assert!(refused(|tensor| tensor.raw_data.clear()).contains("holds 0"));
    assert!(refused(|tensor| tensor.data_location = Some(DataLocation::External as i32)).contains("one file"));
}

#[test]
fn a_transpose_into_what_is_no_order_of_axes_is_refused_since_tract_would_work_on_it_for_ever() {
    let transposed = |order: &[i64]| {
        edited(|graph| {
            let input = graph.node[0].output[0].clone();
            let attribute = vec![attribute::ints("perm", order)];
            let output = vec!["turned".to_owned()];
            graph.node.push(NodeProto {
                op_type: "Transpose".into(),
                input: vec![input],
                output,
                attribute,
                ..Default::default()
            });
        })
    };
    for order in [&[][..], &[0], &[1, 0], &[0, 3, 1, 2]] {
        transposed(order).unwrap();
    }
    for order in [&[1][..], &[-1], &[0, 0], &[2, 3, 1, 2], &[0, 1, 3], &[0; 100_000]] {
        let refused = transposed(order).unwrap_err().to_string();
        assert!(refused.contains("`perm` is no order of axes"), "{refused}");
    }
}

#[test]
fn damaged_bytes_are_an_error_and_never_a_panic() {
    let bytes = proto().encode_to_vec();
    for end in 0..bytes.len() {
        let _ = Graph::parse(&bytes[..end]);
    }
    for (place, bit) in (0..bytes.len()).flat_map(|place| (0..8).map(move |bit| (place, bit))) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << bit;
        if let Ok(mut graph) = Graph::parse(&damaged) {
            let _ = graph.cut_at("b");
            let _ = graph.encode();
        }
    }
    assert!(matches!(Graph::parse(b"no network"), Err(OnnxError::Syntax { .. } | OnnxError::NoGraph)));
}
