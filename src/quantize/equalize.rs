//! Cross-layer equalization: scales the channels between two convolutions so that they fill the tensor's levels alike.
//!
//! After Nagel et al. 2019 (arXiv 1906.04721, section 4.1): dividing output channel `i` of one convolution by `s_i` and
//! multiplying input channel `i` of the next by it leaves the network's function as it is, as long as what lies between
//! is positive homogeneous. The paper balances the weights' ranges; here weights have a scale a channel anyway, so what
//! is balanced are the ranges that share one scale: the activations between (`r_1`) and, unless the next convolution is
//! depthwise, its weights a channel of input (`r_2`), with the paper's `s_i = sqrt(r_1 / r_2)` up to a common factor.
//!
//! ReLU6 is not homogeneous. It is kept, and a channel is scaled only if it did not reach the upper bound on the photos
//! and stays below it afterwards: on those photos the function does not change.

use super::QuantizeError;
use super::parts::{Weighted, bounds};
use super::ranges::Statistics;
use super::simplify::Prepared;
use crate::onnx::{Constant, Graph, OnnxError};

/// Scales stay within this factor of 1.
const MAX_SCALE: f32 = 64.0;

/// A convolution, and the next one that alone reads what it makes.
struct Pair {
    first: Weighted,
    second: Weighted,
    /// The tensor between, behind the activation.
    between: String,
    /// Upper bound of the activation; infinite for a ReLU.
    upper: f32,
}

/// Equalizes all pairs of convolutions from the input on; returns how many.
///
/// # Errors
/// [`QuantizeError`] for broken tensors.
pub fn equalize(prepared: &mut Prepared, statistics: &Statistics) -> Result<usize, QuantizeError> {
    let mut pairs = 0;
    for second in Weighted::all(&prepared.graph)? {
        let Some(pair) = pair(&prepared.graph, second)? else { continue };
        let Some(seen) = statistics.channels.get(&pair.between) else { continue };
        pairs += usize::from(scale(&mut prepared.graph, &pair, seen)?);
    }
    Ok(pairs)
}

fn pair(graph: &Graph, second: Weighted) -> Result<Option<Pair>, OnnxError> {
    let alone = |tensor: &str| graph.consumers(tensor).len() == 1 && !graph.is_output(tensor);
    let between = second.input.clone();
    let Some(maker) = graph.producer(&between).and_then(|place| graph.node(place)) else { return Ok(None) };
    if !second.conv || !alone(&between) {
        return Ok(None);
    }
    let (first, upper) = match bounds(graph, maker)? {
        Some((0.0, upper)) => {
            let Some(input) = maker.input.first().filter(|input| alone(input)) else { return Ok(None) };
            (graph.producer(input).and_then(|place| graph.node(place)), upper)
        }
        Some(_) => return Ok(None),
        None => (Some(maker), f32::INFINITY),
    };
    let Some(first) = first.map(|node| Weighted::of(graph, node)).transpose()?.flatten() else { return Ok(None) };
    Ok((first.conv && first.bias.is_some()).then_some(Pair { first, second, between, upper }))
}

/// Divides the first convolution's channels and multiplies the second's; `false` if the pair is not of that form.
fn scale(graph: &mut Graph, pair: &Pair, seen: &[f32]) -> Result<bool, QuantizeError> {
    let (Some((first, first_bias)), Some((second, _))) =
        (pair.first.parameters(graph)?, pair.second.parameters(graph)?)
    else {
        return Ok(false);
    };
    let (Some(first_values), Some(second_values)) = (first.floats(), second.floats()) else { return Ok(false) };
    let &[outputs, in_group, rows, columns] = second.shape.as_slice() else { return Ok(false) };
    let channels = first_bias.len();
    let outputs_in_group = outputs / pair.second.group;
    let fits = in_group * pair.second.group == channels && seen.len() == channels && outputs_in_group > 0;
    if !fits || first_values.is_empty() || pair.first.weight == pair.second.weight {
        return Ok(false);
    }
    let area = rows * columns;
    let depthwise = in_group == 1;
    let input_of = |place: usize| place / (in_group * area) / outputs_in_group * in_group + place / area % in_group;
    let mut ranges = vec![0_f32; channels];
    for (place, value) in second_values.iter().enumerate() {
        let range = &mut ranges[input_of(place)];
        *range = range.max(value.abs());
    }
    let scales = factors(seen, (!depthwise).then_some(&ranges), pair.upper);
    let row = first_values.len() / channels;
    let first_scaled = first_values.iter().enumerate().map(|(at, value)| value / scales[at / row]).collect();
    let bias_scaled = first_bias.iter().zip(&scales).map(|(bias, scale)| bias / scale).collect();
    let second_scaled =
        second_values.iter().enumerate().map(|(place, value)| value * scales[input_of(place)]).collect();
    graph.set_constant(&pair.first.weight, &Constant::f32(first.shape.clone(), first_scaled))?;
    if let Some(bias) = &pair.first.bias {
        graph.set_constant(bias, &Constant::f32([channels], bias_scaled))?;
    }
    graph.set_constant(&pair.second.weight, &Constant::f32(second.shape.clone(), second_scaled))?;
    Ok(true)
}

/// The scale of each channel, from the largest activation seen in it and the range of the weights that read it.
///
/// A channel may grow until its activations fill the tensor's range `A` (`s = seen / A`), and shrink until its weights
/// fill the range `R` of all weights (`s = R / weight`). The geometric mean of the two balances them, the paper's
/// `sqrt(r_1 / r_2)` with the common factor `sqrt(R / A)`; without weights to mind the activations fill the range.
fn factors(seen: &[f32], weights: Option<&Vec<f32>>, upper: f32) -> Vec<f32> {
    let largest = seen.iter().fold(0_f32, |largest, seen| largest.max(*seen));
    let all_weights = weights.map(|weights| weights.iter().fold(0_f32, |largest, weight| largest.max(*weight)));
    let factor = |channel: usize| {
        // A silent channel says nothing about its range, one at the upper bound would be cut elsewhere.
        if seen[channel] <= largest * 1e-4 || seen[channel] >= upper {
            return 1.0;
        }
        let fills = seen[channel] / largest;
        let scale = match (weights, all_weights) {
            (Some(weights), Some(all)) if weights[channel] > 0.0 => (fills * all / weights[channel]).sqrt(),
            (Some(_), _) => 1.0,
            (None, _) => fills,
        };
        // Below an upper bound the scaled activation must stay below it, too.
        let least = if upper.is_finite() { seen[channel] / upper } else { 0.0 };
        let scale = scale.clamp(1.0 / MAX_SCALE, MAX_SCALE).max(least);
        if scale.is_normal() { scale } else { 1.0 }
    };
    (0..seen.len()).map(factor).collect()
}

#[cfg(test)]
mod tests {
    use super::factors;

    #[test]
    fn before_a_depthwise_convolution_all_channels_fill_the_range() {
        let seen = [4.0, 1.0, 0.5, 0.0];
        let scales = factors(&seen, None, f32::INFINITY);
        assert_eq!(scales, [1.0, 0.25, 0.125, 1.0]);
    }

    #[test]
    fn a_channel_that_reaches_the_upper_bound_is_not_scaled_and_none_is_driven_over_it() {
        let seen = [6.0, 5.9, 0.5, 2.0];
        for weights in [None, Some(vec![1.0, 4.0, 0.01, 3.0])] {
            let scales = factors(&seen, weights.as_ref(), 6.0);
            assert_eq!(scales[0], 1.0);
            assert!(seen.iter().zip(&scales).all(|(seen, scale)| seen / scale <= 6.0001), "{scales:?}");
        }
    }

    #[test]
    fn ranges_of_activations_and_weights_are_balanced_and_neither_grows() {
        let (seen, weights) = ([8.0, 2.0, 0.5], vec![0.5, 2.0, 1.0]);
        let scales = factors(&seen, Some(&weights), f32::INFINITY);
        let scaled = |channel: usize| (seen[channel] / scales[channel], weights[channel] * scales[channel]);
        for channel in 0..3 {
            let (activation, weight) = scaled(channel);
            assert!(activation <= 8.0001 && weight <= 2.0001, "{scales:?}");
            assert!((activation / 8.0 - weight / 2.0).abs() < 1e-5, "{scales:?}");
        }
    }
}
