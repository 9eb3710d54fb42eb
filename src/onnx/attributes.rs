//! A node's attributes, read with their defaults and written.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

use super::{Constant, OnnxError, title};

/// Typed access to a node's attributes. A wrong kind is an error, an absent one the default.
pub trait Attributes {
    /// An integer.
    ///
    /// # Errors
    /// [`OnnxError::Attribute`] if it is of another kind.
    fn int(&self, name: &str, default: i64) -> Result<i64, OnnxError>;
    /// A list of integers; `None` if absent.
    ///
    /// # Errors
    /// [`OnnxError::Attribute`] if it is of another kind.
    fn ints(&self, name: &str) -> Result<Option<&[i64]>, OnnxError>;
    /// A number; `None` if absent.
    ///
    /// # Errors
    /// [`OnnxError::Attribute`] if it is of another kind.
    fn float(&self, name: &str) -> Result<Option<f32>, OnnxError>;
    /// A text; `None` if absent.
    ///
    /// # Errors
    /// [`OnnxError::Attribute`] if it is of another kind or no UTF-8.
    fn text(&self, name: &str) -> Result<Option<&str>, OnnxError>;
    /// A tensor; `None` if absent.
    ///
    /// # Errors
    /// [`OnnxError::Attribute`] if it is of another kind.
    fn tensor(&self, name: &str) -> Result<Option<&TensorProto>, OnnxError>;
    /// The `place`th input's name; `None` if it is left out.
    fn input_at(&self, place: usize) -> Option<&str>;
    /// The first output's name; empty if the node has none.
    fn result(&self) -> &str;
}

fn find(node: &NodeProto, name: &str, kind: AttributeType) -> Result<Option<usize>, OnnxError> {
    let Some(place) = node.attribute.iter().position(|attribute| attribute.name == name) else { return Ok(None) };
    let found = node.attribute[place].r#type;
    // Files of IR version 1 leave the kind out.
    if found == kind as i32 || found == AttributeType::Undefined as i32 {
        return Ok(Some(place));
    }
    let found = AttributeType::try_from(found).map_or("of an unknown kind", |kind| kind.as_str_name());
    Err(wrong(node, name, format!("is {found}, not {}", kind.as_str_name())))
}

fn wrong(node: &NodeProto, attribute: &str, problem: String) -> OnnxError {
    OnnxError::Attribute { node: title(node).to_owned(), attribute: attribute.to_owned(), problem }
}

/// Refuses what tract would work on for ever, until no memory is left: a `Transpose` into something that is no order of axes.
pub(super) fn check(node: &NodeProto) -> Result<(), OnnxError> {
    const AXES: usize = 64;
    let order = if node.op_type == "Transpose" { node.ints("perm")?.unwrap_or_default() } else { &[] };
    let mut axes = order.iter().take(AXES).copied().collect::<Vec<_>>();
    axes.sort_unstable();
    match order.len() <= AXES && axes.into_iter().eq(0..order.len() as i64) {
        true => Ok(()),
        false => Err(wrong(node, "perm", "is no order of axes".into())),
    }
}

impl Attributes for NodeProto {
    fn int(&self, name: &str, default: i64) -> Result<i64, OnnxError> {
        Ok(find(self, name, AttributeType::Int)?.map_or(default, |place| self.attribute[place].i))
    }

    fn ints(&self, name: &str) -> Result<Option<&[i64]>, OnnxError> {
        Ok(find(self, name, AttributeType::Ints)?.map(|place| self.attribute[place].ints.as_slice()))
    }

    fn float(&self, name: &str) -> Result<Option<f32>, OnnxError> {
        Ok(find(self, name, AttributeType::Float)?.map(|place| self.attribute[place].f))
    }

    fn text(&self, name: &str) -> Result<Option<&str>, OnnxError> {
        let Some(place) = find(self, name, AttributeType::String)? else { return Ok(None) };
        let text = std::str::from_utf8(&self.attribute[place].s);
        text.map(Some).map_err(|_| wrong(self, name, "is no UTF-8".into()))
    }

    fn tensor(&self, name: &str) -> Result<Option<&TensorProto>, OnnxError> {
        Ok(find(self, name, AttributeType::Tensor)?.and_then(|place| self.attribute[place].t.as_ref()))
    }

    fn input_at(&self, place: usize) -> Option<&str> {
        self.input.get(place).map(String::as_str).filter(|name| !name.is_empty())
    }

    fn result(&self) -> &str {
        self.output.first().map_or("", String::as_str)
    }
}

/// Attributes as they are written.
pub mod attribute {
    use super::{AttributeProto, AttributeType, Constant};

    fn of(name: &str, kind: AttributeType) -> AttributeProto {
        AttributeProto { name: name.to_owned(), r#type: kind as i32, ..Default::default() }
    }

    /// An integer.
    pub fn int(name: &str, value: i64) -> AttributeProto {
        AttributeProto { i: value, ..of(name, AttributeType::Int) }
    }

    /// A list of integers.
    pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
        AttributeProto { ints: values.to_vec(), ..of(name, AttributeType::Ints) }
    }

    /// A number.
    pub fn float(name: &str, value: f32) -> AttributeProto {
        AttributeProto { f: value, ..of(name, AttributeType::Float) }
    }

    /// A text.
    pub fn text(name: &str, value: &str) -> AttributeProto {
        AttributeProto { s: value.as_bytes().to_vec(), ..of(name, AttributeType::String) }
    }

    /// A tensor.
    pub fn tensor(name: &str, value: &Constant) -> AttributeProto {
        AttributeProto { t: Some(value.to_proto("")), ..of(name, AttributeType::Tensor) }
    }
}
