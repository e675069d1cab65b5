//! One pass: what is launched, with what, in which order.

use super::driver::{Arg, Buffer, Pinned, Stream};
use super::kernels::Kernels;
use super::layout::{Bucket, Capacity};
use super::weights::{DeviceLayer, DeviceNorm, DeviceWeights, Linear};
use crate::bundle::Pooling;
use crate::encoder::EncoderError;
use crate::encoder::config::ModelConfig;

/// How states become one vector.
#[derive(Debug, Clone, Copy)]
pub struct Pool {
    /// Mean or first.
    pub pooling: Pooling,
    /// To length 1.
    pub normalize: bool,
}

/// Memory of one encoder thread.
#[derive(Debug)]
pub struct Buffers {
    input: Buffer,
    /// States, and pooled vectors behind them.
    output: Buffer,
    /// Query, key and value; then what is inside the feed-forward part.
    wide: Buffer,
    attended: Buffer,
    projected: Buffer,
    /// Of the host.
    pub host_input: Pinned,
    /// Of the host.
    pub host_output: Pinned,
}

/// Bytes that each row takes in device memory.
fn row_bytes(config: &ModelConfig) -> usize {
    let wide = (3 * config.hidden_size).max(config.intermediate_size);
    2 * (3 * config.hidden_size + wide) + 16
}

/// Bytes that one encoder thread takes in device memory, about.
pub fn bytes(config: &ModelConfig, capacity: Capacity) -> usize {
    let per_text = config.hidden_size * size_of::<f32>() + 32;
    row_bytes(config) * capacity.rows + per_text * capacity.texts
}

impl Buffers {
    /// Takes all memory that this encoder thread will ever need.
    ///
    /// # Errors
    /// `Unavailable` if there is not so much.
    pub fn new(stream: &Stream, config: &ModelConfig, capacity: Capacity) -> Result<Self, EncoderError> {
        let width = config.hidden_size;
        let largest = Bucket { rows: capacity.rows, texts: capacity.texts };
        let device = stream.device();
        let halves = |columns: usize| Buffer::new(device, capacity.rows * columns * 2);
        Ok(Self {
            input: Buffer::new(device, largest.input_bytes())?,
            output: Buffer::new(device, largest.output_bytes(width))?,
            wide: halves((3 * width).max(config.intermediate_size))?,
            attended: halves(width)?,
            projected: halves(width)?,
            host_input: Pinned::new(device, largest.input_bytes())?,
            host_output: Pinned::new(device, largest.output_bytes(width))?,
        })
    }
}

/// All that a pass needs, for one bucket.
pub struct Pass<'a> {
    pub stream: &'a Stream,
    pub kernels: &'a Kernels,
    pub weights: &'a DeviceWeights,
    pub bucket: Bucket,
    pub width: usize,
    pub head_size: usize,
    pub pool: Pool,
}

fn int(n: usize) -> Arg {
    Arg::Int(i32::try_from(n).unwrap_or(i32::MAX))
}

impl Pass<'_> {
    /// Asks the stream for everything, from the copy of the input to the copy of the output.
    ///
    /// # Errors
    /// The driver's.
    pub fn enqueue(&self, buffers: &mut Buffers) -> Result<(), EncoderError> {
        self.stream.upload(&buffers.host_input, &buffers.input, self.bucket.input_bytes())?;
        self.embed(buffers)?;
        for layer in &self.weights.layers {
            self.layer(layer, buffers)?;
        }
        self.pool(buffers)?;
        let bytes = self.bucket.output_bytes(self.width);
        self.stream.download(&buffers.output, &mut buffers.host_output, bytes)
    }

    fn embed(&self, b: &Buffers) -> Result<(), EncoderError> {
        let (weights, norm) = (self.weights, &self.weights.norm);
        let args = [
            b.input.at(0),
            b.input.at(self.bucket.rows_at()),
            weights.words.at(0),
            weights.positions.at(0),
            norm.gamma.at(0),
            norm.beta.at(0),
            Arg::Float(norm.eps),
            b.output.at(0),
        ];
        self.stream.launch(self.kernels.embed, self.kernels.by_rows(self.bucket.rows), args)
    }

    fn layer(&self, layer: &DeviceLayer, b: &Buffers) -> Result<(), EncoderError> {
        self.product(b, &layer.qkv, &b.output, &b.wide, false)?;
        self.attend(b)?;
        self.product(b, &layer.attended, &b.attended, &b.projected, false)?;
        self.add(b, &layer.attended_norm)?;
        self.product(b, &layer.up, &b.output, &b.wide, true)?;
        self.product(b, &layer.down, &b.wide, &b.projected, false)?;
        self.add(b, &layer.norm)
    }

    fn product(
        &self,
        b: &Buffers,
        linear: &Linear,
        from: &Buffer,
        to: &Buffer,
        gelu: bool,
    ) -> Result<(), EncoderError> {
        let (kernel, shape) = self.kernels.product(self.bucket.rows, linear.outputs, gelu);
        let args = [
            b.input.at(0),
            from.at(0),
            linear.matrix.at(0),
            linear.bias.at(0),
            int(linear.inputs),
            int(linear.outputs),
            to.at(0),
        ];
        self.stream.launch(kernel, shape, args)
    }

    fn attend(&self, b: &Buffers) -> Result<(), EncoderError> {
        // The kernel takes powers of two, so the scale holds log2(e) too.
        let scale = std::f64::consts::LOG2_E / (self.head_size as f64).sqrt();
        let items = b.input.at(self.bucket.items_at());
        let args =
            [b.input.at(0), items, b.wide.at(0), int(self.width), Arg::Float(scale as f32), b.attended.at(0)];
        self.stream.launch(self.kernels.attend, self.kernels.by_items(self.bucket.items()), args)
    }

    /// Adds what was projected to the states.
    fn add(&self, b: &Buffers, norm: &DeviceNorm) -> Result<(), EncoderError> {
        let args = [
            b.input.at(0),
            b.projected.at(0),
            norm.gamma.at(0),
            norm.beta.at(0),
            Arg::Float(norm.eps),
            b.output.at(0),
        ];
        self.stream.launch(self.kernels.normalize, self.kernels.by_rows(self.bucket.rows), args)
    }

    fn pool(&self, b: &Buffers) -> Result<(), EncoderError> {
        let args = [
            b.input.at(0),
            b.input.at(self.bucket.texts_at()),
            b.output.at(0),
            int(self.width),
            Arg::Int(i32::from(self.pool.pooling == Pooling::Cls)),
            Arg::Int(i32::from(self.pool.normalize)),
            b.output.at(self.bucket.pooled_at(self.width)),
        ];
        self.stream.launch(self.kernels.pool, self.kernels.by_texts(self.bucket.texts), args)
    }
}
