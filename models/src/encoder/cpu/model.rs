//! The network: tables, layers, and the buffers that they share.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use safetensors::SafeTensors;

use super::Arithmetic;
use super::attention::{AttentionScratch, DistanceBias, Heads, attend};
use super::panels::{PANEL, Parts, panels};
use super::product::{Activation, Kernel, Operand, OperandParts, Product, room};
use super::rows::{Norm, Source, add_and_normalize, add_rows_and_normalize};
use super::smoothing::{PRODUCTS, Smoothing};
use super::team::Team;
use crate::encoder::EncoderError;
use crate::encoder::config::ModelConfig;
use crate::encoder::weights::{Place, Weights};

/// A model on packed weights.
pub struct Model {
    words: Vec<f32>,
    /// Position and first token type, added once at load.
    positions: Vec<f32>,
    norm: Norm,
    bias: Option<DistanceBias>,
    layers: Vec<Layer>,
    width: usize,
    head_size: usize,
    kernel: Kernel,
}

struct Layer {
    /// Query, key and value in one product, each filled up to whole panels.
    qkv: Product,
    attended: Product,
    attended_norm: Norm,
    up: Product,
    down: Product,
    norm: Norm,
}

/// Buffers of one forward pass, kept from call to call.
#[derive(Default)]
pub struct Scratch {
    /// `[tokens, width]`
    states: Vec<f32>,
    /// `[tokens, width]`, positions only.
    places: Vec<f32>,
    /// Panels.
    wide: Vec<f32>,
    attended: Vec<f32>,
    projected: Vec<f32>,
    /// Inputs of the products.
    operand: Operand,
    /// For [`Smoothing`]: the largest input of each product, `[layers * 4][inputs]`.
    observed: Option<Vec<Vec<f32>>>,
}

thread_local! {
    static ATTENTION: RefCell<AttentionScratch> = RefCell::default();
}

/// Rows that one chunk takes at least, where only rows are worked on.
const LEAST_ROWS: usize = 4;
/// Chunks for each member of a team: more, and a late member holds up nobody; fewer, and less is spent on dealing out.
const SHARES: usize = 3;

impl Model {
    /// Reads and packs all tensors.
    ///
    /// # Errors
    /// Names the tensor that is missing or has another shape.
    pub fn load(
        config: &ModelConfig,
        tensors: &SafeTensors<'_>,
        arithmetic: Arithmetic,
        smoothing: Option<&Smoothing>,
        kernel: Kernel,
    ) -> Result<Self, EncoderError> {
        let head_size = config.head_size();
        if ![16, 32, 64].contains(&head_size) {
            let problem = format!("heads of {head_size} are not supported, only of 16, 32 and 64");
            return Err(EncoderError::Config(format!("num_attention_heads: {problem}")));
        }
        let weights = Weights::of(tensors, config);
        let smoothing = smoothing.filter(|_| arithmetic == Arithmetic::Int8);
        let layers = (0..config.num_hidden_layers).map(|i| {
            let factors = |product| smoothing.map(|s| s.factors(i, product)).unwrap_or_default();
            Layer::load(&weights, config.hidden_size, i, &|weights, bias, product| {
                Product::new(weights, bias, arithmetic, factors(product), kernel)
            })
        });
        Ok(Self {
            words: weights.words()?,
            positions: weights.positions()?,
            norm: weights.table_norm()?,
            bias: DistanceBias::of(weights.distances()?, config.positions()),
            layers: layers.collect::<Result<_, _>>()?,
            width: config.hidden_size,
            head_size,
            kernel,
        })
    }

    /// Rows of the word table.
    pub fn vocab_size(&self) -> usize {
        self.words.len() / self.width
    }

    /// The kernels that compute it.
    pub fn backend(&self) -> &'static str {
        self.layers.first().map_or("none", |layer| layer.up.kernel())
    }

    /// Last hidden states of texts laid end to end, `[tokens of all, width]`. Token ids were checked by the caller.
    pub fn forward<'s>(
        &self,
        texts: &[&[u32]],
        team: &Team,
        scratch: &'s mut Scratch,
    ) -> Result<&'s [f32], EncoderError> {
        let rows = texts.iter().map(|t| t.len()).sum();
        self.embed(texts, scratch);
        for (i, layer) in self.layers.iter().enumerate() {
            if i == 0 {
                Stages { rows, team }.read(&layer.qkv, &scratch.states, &mut scratch.operand)?;
            }
            let next = self.layers.get(i + 1);
            self.layer(layer, i, next, texts, Stages { rows, team }, scratch)?;
        }
        Ok(scratch.states.get(..rows * self.width).unwrap_or_default())
    }

    fn embed(&self, texts: &[&[u32]], scratch: &mut Scratch) {
        scratch.states.clear();
        scratch.places.clear();
        for text in texts {
            for (id, position) in text.iter().zip(self.positions.chunks_exact(self.width)) {
                let at = *id as usize * self.width;
                scratch.states.extend_from_slice(self.words.get(at..at + self.width).unwrap_or_default());
                scratch.places.extend_from_slice(position);
            }
        }
        add_rows_and_normalize(&mut scratch.states, &scratch.places, &self.norm);
    }

    /// One layer; its input stands in `s.operand` already, and the next layer's will.
    fn layer(
        &self,
        layer: &Layer,
        index: usize,
        next: Option<&Layer>,
        texts: &[&[u32]],
        stages: Stages<'_>,
        s: &mut Scratch,
    ) -> Result<(), EncoderError> {
        s.observe(PRODUCTS * index, &layer.qkv);
        stages.multiply(&layer.qkv, &s.operand, Activation::None, &mut s.wide)?;
        self.attention(texts, stages, &s.wide, &mut s.attended)?;
        stages.read_panels(&layer.attended, &s.attended, &mut s.operand)?;
        s.observe(PRODUCTS * index + 1, &layer.attended);
        stages.multiply(&layer.attended, &s.operand, Activation::None, &mut s.projected)?;
        stages.add(&s.projected, &layer.attended_norm, &mut s.states, Some(&layer.up), &mut s.operand)?;
        s.observe(PRODUCTS * index + 2, &layer.up);
        stages.multiply(&layer.up, &s.operand, Activation::Gelu, &mut s.wide)?;
        stages.read_panels(&layer.down, &s.wide, &mut s.operand)?;
        s.observe(PRODUCTS * index + 3, &layer.down);
        stages.multiply(&layer.down, &s.operand, Activation::None, &mut s.projected)?;
        stages.add(&s.projected, &layer.norm, &mut s.states, next.map(|l| &l.qkv), &mut s.operand)
    }

    /// Attention of each text, panel by panel.
    #[allow(unsafe_code, reason = "several threads write one buffer")]
    fn attention(
        &self,
        texts: &[&[u32]],
        stages: Stages<'_>,
        qkv: &[f32],
        attended: &mut Vec<f32>,
    ) -> Result<(), EncoderError> {
        let (rows, count) = (stages.rows, panels(self.width));
        let out = Parts::of(room(attended, count * rows * PANEL));
        let starts = texts.iter().scan(0, |end, text| {
            let start = *end;
            *end += text.len();
            Some(start..*end)
        });
        for text in starts {
            let of = |panel: usize| {
                let start = panel * rows;
                (start + text.start) * PANEL..(start + text.end) * PANEL
            };
            stages.chunks(count, &|panel| {
                let part = |i: usize| qkv.get(of(i * count + panel)).unwrap_or_default();
                let (query, key, value) = (part(0), part(1), part(2));
                let first = panel * (PANEL / self.head_size);
                let heads =
                    Heads { query, key, value, size: self.head_size, first, bias: self.bias.as_ref() };
                // SAFETY: every chunk is another panel.
                let out = unsafe { out.part(of(panel)) };
                ATTENTION.with(|scratch| attend(heads, self.kernel, out, &mut scratch.borrow_mut()));
                Ok(())
            })?;
        }
        Ok(())
    }
}

impl Scratch {
    /// Buffers that remember the largest input of each product.
    pub fn observing() -> Self {
        Self { observed: Some(Vec::new()), ..Self::default() }
    }

    /// What was remembered, `[layers * 4][inputs]`.
    pub fn observed(self) -> Vec<Vec<f32>> {
        self.observed.unwrap_or_default()
    }

    /// Remembers the largest inputs of a product, if somebody wants to know.
    fn observe(&mut self, place: usize, product: &Product) {
        let Some(observed) = &mut self.observed else { return };
        if observed.len() <= place {
            observed.resize(place + 1, Vec::new());
        }
        let Some(largest) = observed.get_mut(place) else { return };
        largest.resize(product.inputs(), 0.0);
        for row in self.operand.values().chunks_exact(product.inputs()) {
            largest.iter_mut().zip(row).for_each(|(l, x)| *l = l.max(x.abs()));
        }
    }
}

/// The stages of a layer: each is cut into chunks for a team.
#[derive(Clone, Copy)]
struct Stages<'a> {
    rows: usize,
    team: &'a Team,
}

impl Stages<'_> {
    /// Does all chunks; the first error, if any.
    fn chunks(
        &self,
        count: usize,
        work: &(dyn Fn(usize) -> Result<(), EncoderError> + Sync),
    ) -> Result<(), EncoderError> {
        if self.team.size() == 1 {
            return (0..count).try_for_each(work);
        }
        let failed = Mutex::new(None);
        self.team.stage(count, &|i| {
            if let Err(error) = work(i) {
                failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        });
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// Does chunks of rows.
    fn by_rows(
        &self,
        work: &(dyn Fn(Range<usize>) -> Result<(), EncoderError> + Sync),
    ) -> Result<(), EncoderError> {
        let most = self.rows.div_ceil(LEAST_ROWS);
        let count = if self.team.size() == 1 { 1 } else { (self.team.size() * SHARES).min(most) };
        self.chunks(count, &|i| work(i * self.rows / count..(i + 1) * self.rows / count))
    }

    /// All panels of a product.
    #[allow(unsafe_code, reason = "several threads write one buffer")]
    fn multiply(
        &self,
        product: &Product,
        x: &Operand,
        activation: Activation,
        out: &mut Vec<f32>,
    ) -> Result<(), EncoderError> {
        let rows = self.rows;
        let out = Parts::of(room(out, product.panels() * rows * PANEL));
        let splits = match self.team.size() {
            1 => 1,
            size => (size * SHARES).div_ceil(product.panels()).clamp(1, rows.div_ceil(LEAST_ROWS)),
        };
        self.chunks(product.panels() * splits, &|i| {
            let (panel, split) = (i / splits, i % splits);
            let own = split * rows / splits..(split + 1) * rows / splits;
            let start = panel * rows;
            // SAFETY: every chunk is another panel, or other rows of it.
            let out = unsafe { out.part((start + own.start) * PANEL..(start + own.end) * PANEL) };
            product.multiply(x, panel, own, activation, out)
        })
    }

    /// Rows `[rows, width]` as the input of a product.
    #[allow(unsafe_code, reason = "several threads write one buffer")]
    fn read(&self, product: &Product, x: &[f32], operand: &mut Operand) -> Result<(), EncoderError> {
        let operand = OperandParts::of(operand, product, self.rows);
        self.by_rows(&|rows| {
            let x = x.get(rows.start * product.inputs()..rows.end * product.inputs()).unwrap_or_default();
            // SAFETY: every chunk is other rows.
            product.read_rows(x, unsafe { operand.rows(rows) });
            Ok(())
        })
    }

    /// Panels as the input of a product.
    #[allow(unsafe_code, reason = "several threads write one buffer")]
    fn read_panels(&self, product: &Product, x: &[f32], operand: &mut Operand) -> Result<(), EncoderError> {
        let matrix = x.get(..panels(product.inputs()) * self.rows * PANEL).unwrap_or_default();
        let operand = OperandParts::of(operand, product, self.rows);
        self.by_rows(&|rows| {
            let source = Source { matrix, rows: self.rows, first: rows.start };
            // SAFETY: every chunk is other rows.
            product.read_panels(source, unsafe { operand.rows(rows) });
            Ok(())
        })
    }

    /// Residual and layer norm, and the input of the product that follows.
    #[allow(unsafe_code, reason = "several threads write one buffer")]
    fn add(
        &self,
        x: &[f32],
        norm: &Norm,
        states: &mut [f32],
        next: Option<&Product>,
        operand: &mut Operand,
    ) -> Result<(), EncoderError> {
        let width = norm.gamma.len();
        let matrix = x.get(..panels(width) * self.rows * PANEL).unwrap_or_default();
        let states = Parts::of(states);
        let operand = next.map(|product| (product, OperandParts::of(operand, product, self.rows)));
        self.by_rows(&|rows| {
            // SAFETY: every chunk is other rows.
            let own = unsafe { states.part(rows.start * width..rows.end * width) };
            add_and_normalize(own, Source { matrix, rows: self.rows, first: rows.start }, norm);
            if let Some((product, operand)) = &operand {
                // SAFETY: every chunk is other rows.
                product.read_rows(own, unsafe { operand.rows(rows) });
            }
            Ok(())
        })
    }
}

/// Makes a product of weights and bias; the number is its place in the layer.
type Make<'a> = dyn Fn(&[f32], Vec<f32>, usize) -> Result<Product, EncoderError> + 'a;

impl Layer {
    fn load(
        weights: &Weights<'_>,
        width: usize,
        index: usize,
        make: &Make<'_>,
    ) -> Result<Self, EncoderError> {
        let linear = |place: Place, number: usize| {
            let (matrix, bias) = weights.linear(index, place)?;
            make(&matrix, bias, number)
        };
        let (mut matrix, mut bias) = (Vec::new(), Vec::new());
        for (i, place) in [Place::Query, Place::Key, Place::Value].into_iter().enumerate() {
            let (m, b) = weights.linear(index, place)?;
            matrix.extend(m);
            bias.extend(b);
            // Each begins on a panel of its own.
            let columns = (i + 1) * panels(width) * PANEL;
            matrix.resize(columns * width, 0.0);
            bias.resize(columns, 0.0);
        }
        let [attended_norm, norm] = weights.norms(index)?;
        Ok(Self {
            qkv: make(&matrix, bias, 0)?,
            attended: linear(Place::Attended, 1)?,
            attended_norm,
            up: linear(Place::Up, 2)?,
            down: linear(Place::Down, 3)?,
            norm,
        })
    }
}

/// The largest weight of each input of every product, `[layers * 4][inputs]`.
///
/// # Errors
/// As [`Model::load`].
pub fn largest_weights(
    config: &ModelConfig,
    tensors: &SafeTensors<'_>,
) -> Result<Vec<Vec<f32>>, EncoderError> {
    let largest = RefCell::new(Vec::new());
    let weights = Weights::of(tensors, config);
    for index in 0..config.num_hidden_layers {
        Layer::load(&weights, config.hidden_size, index, &|weights, bias, _| {
            let inputs = weights.len() / bias.len().max(1);
            let mut most = vec![0.0f32; inputs];
            for row in weights.chunks_exact(inputs.max(1)) {
                most.iter_mut().zip(row).for_each(|(m, w)| *m = m.max(w.abs()));
            }
            largest.borrow_mut().push(most);
            Product::new(weights, bias, Arithmetic::F32, &[], Kernel::Best)
        })?;
    }
    Ok(largest.into_inner())
}
