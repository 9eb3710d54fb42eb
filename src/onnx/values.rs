//! Tensors stored in the file: checked against their shapes, decoded and encoded.

use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::tensor_shape_proto::dimension;
use tract_onnx::pb::{TensorProto, ValueInfoProto, type_proto};
use tract_onnx::prelude::{Datum, Tensor, TractResult};

use super::OnnxError;

/// A decoded tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Constant {
    /// Sides, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// Elements, row-major.
    pub data: Data,
}

/// Elements of a [`Constant`].
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// Floats; f16 and f64 are read as these.
    F32(Vec<f32>),
    /// 32-bit integers; bool is read as these.
    I32(Vec<i32>),
    /// 64-bit integers: shapes, axes.
    I64(Vec<i64>),
    /// Quantized weights.
    I8(Vec<i8>),
    /// Quantized activations.
    U8(Vec<u8>),
}

impl Constant {
    /// A float tensor.
    pub fn f32(shape: impl Into<Vec<usize>>, values: Vec<f32>) -> Self {
        Self { shape: shape.into(), data: Data::F32(values) }
    }

    /// A list of integers, of rank 1.
    pub fn i64(values: Vec<i64>) -> Self {
        Self { shape: vec![values.len()], data: Data::I64(values) }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match &self.data {
            Data::F32(values) => values.len(),
            Data::I32(values) => values.len(),
            Data::I64(values) => values.len(),
            Data::I8(values) => values.len(),
            Data::U8(values) => values.len(),
        }
    }

    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements, if they are floats.
    pub fn floats(&self) -> Option<&[f32]> {
        match &self.data {
            Data::F32(values) => Some(values),
            _ => None,
        }
    }

    /// The elements as 64-bit integers, if they are integers of any width.
    pub fn integers(&self) -> Option<Vec<i64>> {
        match &self.data {
            Data::F32(_) => None,
            Data::I32(values) => Some(values.iter().map(|value| i64::from(*value)).collect()),
            Data::I64(values) => Some(values.clone()),
            Data::I8(values) => Some(values.iter().map(|value| i64::from(*value)).collect()),
            Data::U8(values) => Some(values.iter().map(|value| i64::from(*value)).collect()),
        }
    }

    /// The only element, if it is one float.
    pub fn scalar(&self) -> Option<f32> {
        match self.floats()? {
            &[value] => Some(value),
            _ => None,
        }
    }

    /// Decodes a stored tensor.
    ///
    /// # Errors
    /// [`OnnxError::Tensor`] if its data does not fit its shape or is of a type that is not read.
    pub fn of(tensor: &TensorProto) -> Result<Self, OnnxError> {
        let (shape, elements) = check(tensor)?;
        let data = decode(tensor)?;
        let constant = Self { shape, data };
        if constant.len() == elements {
            return Ok(constant);
        }
        Err(wrong(tensor, format!("holds {} elements, its shape needs {elements}", constant.len())))
    }

    /// Encodes it under a name, as raw little-endian data.
    pub fn to_proto(&self, name: &str) -> TensorProto {
        let (kind, raw) = match &self.data {
            Data::F32(values) => (DataType::Float, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            Data::I32(values) => (DataType::Int32, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            Data::I64(values) => (DataType::Int64, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            Data::I8(values) => (DataType::Int8, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            Data::U8(values) => (DataType::Uint8, values.clone()),
        };
        TensorProto {
            // Sides of a tensor in memory fit.
            dims: self.shape.iter().map(|side| i64::try_from(*side).unwrap_or(i64::MAX)).collect(),
            data_type: kind as i32,
            raw_data: raw,
            name: name.to_owned(),
            ..Default::default()
        }
    }
}

/// Checks where the data lies and how much there is; returns shape and number of elements.
pub(super) fn check(tensor: &TensorProto) -> Result<(Vec<usize>, usize), OnnxError> {
    if tensor.data_location == Some(DataLocation::External as i32) || !tensor.external_data.is_empty() {
        return Err(wrong(
            tensor,
            "keeps its data in another file; save the network as one file (torch.onnx.export: external_data=False)"
                .into(),
        ));
    }
    let shape: Option<Vec<usize>> = tensor.dims.iter().map(|side| usize::try_from(*side).ok()).collect();
    let shape = shape.ok_or_else(|| wrong(tensor, format!("has the shape {:?}", tensor.dims)))?;
    let elements = shape.iter().try_fold(1_usize, |product, side| product.checked_mul(*side));
    let elements = elements.ok_or_else(|| wrong(tensor, format!("has the impossible shape {shape:?}")))?;
    // Raw data has a size that is known without decoding; the other fields are counted where they are decoded.
    let width = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Uint8 | DataType::Int8 | DataType::Bool) => Some(1),
        Ok(DataType::Float16 | DataType::Bfloat16 | DataType::Int16 | DataType::Uint16) => Some(2),
        Ok(DataType::Float | DataType::Int32 | DataType::Uint32) => Some(4),
        Ok(DataType::Double | DataType::Int64 | DataType::Uint64) => Some(8),
        _ => None,
    };
    let stored = if tensor.raw_data.is_empty() {
        tensor.float_data.len()
            + tensor.int32_data.len()
            + tensor.int64_data.len()
            + tensor.double_data.len()
            + tensor.uint64_data.len()
            + tensor.string_data.len()
    } else {
        match width {
            Some(width) if tensor.raw_data.len().is_multiple_of(width) => tensor.raw_data.len() / width,
            Some(_) => return Err(wrong(tensor, "ends in the middle of an element".into())),
            None => elements,
        }
    };
    if stored != elements {
        return Err(wrong(tensor, format!("holds {stored} elements, its shape {shape:?} needs {elements}")));
    }
    Ok((shape, elements))
}

fn decode(tensor: &TensorProto) -> Result<Data, OnnxError> {
    let raw = &tensor.raw_data;
    let integers = &tensor.int32_data;
    let kind = DataType::try_from(tensor.data_type);
    Ok(match (kind, raw.is_empty()) {
        (Ok(DataType::Float), false) => Data::F32(from_raw(raw, f32::from_le_bytes)),
        (Ok(DataType::Float), true) => Data::F32(tensor.float_data.clone()),
        (Ok(DataType::Double), false) => Data::F32(from_raw(raw, |bytes| f64::from_le_bytes(bytes) as f32)),
        (Ok(DataType::Double), true) => Data::F32(tensor.double_data.iter().map(|value| *value as f32).collect()),
        (Ok(DataType::Float16), false) => Data::F32(from_raw(raw, |bytes| half(u16::from_le_bytes(bytes)))),
        (Ok(DataType::Float16), true) => Data::F32(integers.iter().map(|bits| half(*bits as u16)).collect()),
        (Ok(DataType::Int32), false) => Data::I32(from_raw(raw, i32::from_le_bytes)),
        (Ok(DataType::Int32), true) => Data::I32(integers.clone()),
        (Ok(DataType::Bool), false) => Data::I32(raw.iter().map(|byte| i32::from(*byte != 0)).collect()),
        (Ok(DataType::Bool), true) => Data::I32(integers.iter().map(|value| i32::from(*value != 0)).collect()),
        (Ok(DataType::Int64), false) => Data::I64(from_raw(raw, i64::from_le_bytes)),
        (Ok(DataType::Int64), true) => Data::I64(tensor.int64_data.clone()),
        (Ok(DataType::Int8), false) => Data::I8(from_raw(raw, i8::from_le_bytes)),
        (Ok(DataType::Int8), true) => Data::I8(integers.iter().map(|value| *value as i8).collect()),
        (Ok(DataType::Uint8), false) => Data::U8(raw.clone()),
        (Ok(DataType::Uint8), true) => Data::U8(integers.iter().map(|value| *value as u8).collect()),
        (Ok(other), _) => return Err(wrong(tensor, format!("has elements of type {}", other.as_str_name()))),
        (Err(_), _) => return Err(wrong(tensor, format!("has elements of unknown type {}", tensor.data_type))),
    })
}

fn from_raw<const N: usize, T>(raw: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    raw.as_chunks::<N>().0.iter().map(|bytes| read(*bytes)).collect()
}

/// IEEE 754 binary16 to f32.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * 2f32.powi(exponent - 25),
    }
}

/// A declared shape, if all sides are numbers.
pub(super) fn static_shape(info: &ValueInfoProto) -> Option<Vec<usize>> {
    sides(info)?.into_iter().collect()
}

/// The sides of a declared shape; those are `None` that are left open, as a batch often is.
pub fn sides(info: &ValueInfoProto) -> Option<Vec<Option<usize>>> {
    let type_proto::Value::TensorType(tensor) = info.r#type.as_ref()?.value.as_ref()?;
    let sides = tensor.shape.as_ref()?.dim.iter().map(|dim| match dim.value.as_ref()? {
        dimension::Value::DimValue(side) => usize::try_from(*side).ok(),
        dimension::Value::DimParam(_) => None,
    });
    Some(sides.collect())
}

/// Whether a tensor is declared as one of f32. One of no declared type is taken for it.
pub fn is_float(info: &ValueInfoProto) -> bool {
    match info.r#type.as_ref().map(|kind| kind.value.as_ref()) {
        Some(Some(type_proto::Value::TensorType(tensor))) => tensor.elem_type == DataType::Float as i32,
        // A sequence, a map: what tract's declarations do not know.
        Some(None) => false,
        None => true,
    }
}

fn wrong(tensor: &TensorProto, problem: String) -> OnnxError {
    OnnxError::Tensor { name: tensor.name.clone(), problem }
}

/// The values of one of tract's tensors. Its own view makes a slice of the address of an empty one, which may be none.
pub(crate) fn elements<D: Datum>(tensor: &Tensor) -> TractResult<&[D]> {
    match tensor.len() {
        0 => Ok(&[]),
        _ => tensor.view().as_slice::<D>(),
    }
}
