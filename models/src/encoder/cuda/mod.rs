//! The GPU encoder: own kernels in half precision with f32 sums, launches recorded once for each size of batch.
//!
//! The only thing it needs of a machine is the NVIDIA driver, loaded at run time; there is no CUDA library to install, and
//! the same program runs without a driver. The kernels stand in `models/kernels/`; their machine code is part of the
//! program. Texts are laid end to end, without padding. At the length of an action the arithmetic is nothing and launches
//! are everything, so a pass is one recorded graph: a copy in, some forty kernels, a copy out.
//!
//! One encoder has a stream and buffers of its own; several share a device's weights, so that one's copies and conversions
//! overlap with another's computation.

mod driver;
mod forward;
mod image;
mod kernels;
mod layout;
mod probe;
mod weights;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use half::f16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;
use safetensors::SafeTensors;

use self::driver::{Card, Device, Graph, Module, Stream};
use self::forward::{Buffers, Pass, Pool};
use self::image::Image;
use self::kernels::Kernels;
use self::layout::{Bucket, Capacity};
use self::weights::DeviceWeights;
use super::config::ModelConfig;
use super::weights::Weights;
use super::{Encoder, EncoderError, EncoderInfo, Encoding};
use crate::bundle::Bundle;

/// Tokens and texts of one pass at most: enough to keep the largest card busy.
const MOST: Capacity = Capacity { rows: 8192, texts: 1024 };
/// Encoders for each device: while one computes, the other's texts are copied and converted.
const ENCODERS: usize = 2;
/// Recorded passes that one encoder keeps.
const GRAPHS: usize = 256;
/// Tokens of one text whose passes are recorded at load.
const COMMON_ROWS: [usize; 6] = [16, 32, 48, 64, 96, 128];
/// Device memory that is left to others, in bytes.
const SPARE: usize = 64 << 20;

/// What the encoder may take of a machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct CudaOptions {
    /// MiB of one device's memory at most; 0: what is free.
    pub memory_mb: u64,
}

/// A device that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its number.
    pub number: u32,
    /// For a person: name and driver.
    pub text: String,
}

/// The devices of this machine that can be used, or the one asked for.
///
/// # Errors
/// Why there is none, and what was looked for where.
pub fn find(wanted: Option<u32>) -> Result<Vec<Found>, String> {
    guarded(|| {
        probe::driver()?;
        let count = driver::count()?;
        let numbers = match wanted {
            Some(n) if n >= count => return Err(format!("cuda:{n}: the driver reports {count} GPUs")),
            Some(n) => n..n + 1,
            None if count == 0 => return Err("the driver reports no GPU".to_owned()),
            None => 0..count,
        };
        let (mut found, mut refused) = (Vec::new(), Vec::new());
        for number in numbers {
            match describe(number) {
                Ok(text) => found.push(Found { number, text }),
                Err(why) => refused.push(why),
            }
        }
        if found.is_empty() { Err(refused.join("; ")) } else { Ok(found) }
    })
}

fn describe(number: u32) -> Result<String, String> {
    let card = Card::of(number).map_err(|e| e.to_string())?;
    let capability = card.capability().map_err(|e| e.to_string())?;
    image::code_for(capability).map_err(|e| format!("{} ({}): {e}", card.id(), card.name()))?;
    let driver = driver::version().unwrap_or_else(|| "unknown".to_owned());
    Ok(format!("{} ({}, driver for CUDA {driver})", card.id(), card.name()))
}

/// cudarc panics where it cannot go on; nobody else's work may end with that.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let broken =
        |_| Err("the NVIDIA driver cannot be used: a call that it should know ended in a panic".to_owned());
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(broken)
}

/// What all encoders of one device share.
#[derive(Debug)]
struct Loaded {
    weights: DeviceWeights,
    kernels: Kernels,
    config: ModelConfig,
    pool: Pool,
    info: EncoderInfo,
    capacity: Capacity,
    device: Arc<Device>,
}

/// BERT on a GPU.
#[derive(Debug)]
pub struct CudaEncoder {
    // Dropped in this order: the stream waits for its work before buffers go.
    graphs: HashMap<Bucket, Recorded>,
    stream: Stream,
    buffers: Buffers,
    loaded: Arc<Loaded>,
}

/// How a bucket's pass is run.
#[derive(Debug)]
enum Recorded {
    Graph(Graph),
    /// The driver had no memory for a graph.
    OneByOne,
}

impl CudaEncoder {
    /// Loads a verified bundle into a device, for several encoder threads.
    ///
    /// # Errors
    /// If the kernels do not support the model, a tensor is missing, the device has too little memory, or fails.
    pub fn load(bundle: &Bundle, number: u32, options: CudaOptions) -> Result<Vec<Self>, EncoderError> {
        let loaded = Arc::new(Loaded::new(bundle, number, options)?);
        (0..ENCODERS).map(|_| Self::new(Arc::clone(&loaded))).collect()
    }

    fn new(loaded: Arc<Loaded>) -> Result<Self, EncoderError> {
        let stream = Stream::new(&loaded.device)?;
        let buffers = Buffers::new(&stream, &loaded.config, loaded.capacity)?;
        let mut this = Self { graphs: HashMap::new(), stream, buffers, loaded };
        // What an enforcement point asks first is an action alone.
        for rows in COMMON_ROWS {
            this.record(Bucket::of(rows, 1, this.loaded.capacity))?;
        }
        Ok(this)
    }

    fn pass(&mut self, batch: &[&[u32]]) -> Result<Vec<Encoding>, EncoderError> {
        let rows = batch.iter().map(|ids| ids.len()).sum();
        let bucket = Bucket::of(rows, batch.len(), self.loaded.capacity);
        bucket.write(batch, self.buffers.host_input.bytes_mut());
        self.run(bucket)?;
        self.stream.wait()?;
        self.read(bucket, batch)
    }

    /// Runs what is in the input buffer.
    fn run(&mut self, bucket: Bucket) -> Result<(), EncoderError> {
        if !self.graphs.contains_key(&bucket) {
            self.record(bucket)?;
        }
        if let Some(Recorded::Graph(graph)) = self.graphs.get(&bucket) {
            if self.stream.replay(graph)? {
                return Ok(());
            }
            // Somebody else took the device's memory; without graphs a pass needs none.
            self.graphs.clear();
            self.graphs.insert(bucket, Recorded::OneByOne);
        }
        pass(&self.stream, &self.loaded, bucket).enqueue(&mut self.buffers)
    }

    fn record(&mut self, bucket: Bucket) -> Result<(), EncoderError> {
        if self.graphs.len() >= GRAPHS {
            // Rarely comes to this: there are some hundred buckets, and traffic keeps to a few.
            self.graphs.clear();
        }
        let pass = pass(&self.stream, &self.loaded, bucket);
        let graph = self.stream.capture(|| pass.enqueue(&mut self.buffers))?;
        self.graphs.insert(bucket, graph.map_or(Recorded::OneByOne, Recorded::Graph));
        Ok(())
    }

    /// Takes the vectors out of the output buffer.
    fn read(&self, bucket: Bucket, batch: &[&[u32]]) -> Result<Vec<Encoding>, EncoderError> {
        let width = self.loaded.config.hidden_size;
        let (states, pooled) = self.buffers.host_output.bytes().split_at(bucket.pooled_at(width));
        let starts = batch.iter().scan(0, |end, ids| {
            let start = *end;
            *end += ids.len();
            Some(start..*end)
        });
        let parts: Vec<(&[u8], &[u8])> = starts
            .zip(pooled.chunks_exact(width * size_of::<f32>()))
            .map(|(rows, pooled)| {
                (states.get(rows.start * width * 2..rows.end * width * 2).unwrap_or_default(), pooled)
            })
            .collect();
        let encodings: Option<Vec<Encoding>> = if batch.len() > 8 {
            parts.par_iter().map(|(states, pooled)| encoding(states, pooled)).collect()
        } else {
            parts.iter().map(|(states, pooled)| encoding(states, pooled)).collect()
        };
        encodings.ok_or_else(|| {
            EncoderError::Compute(format!("{}: a vector holds what is no number", self.loaded.info.device))
        })
    }
}

fn pass<'a>(stream: &'a Stream, loaded: &'a Loaded, bucket: Bucket) -> Pass<'a> {
    Pass {
        stream,
        kernels: &loaded.kernels,
        weights: &loaded.weights,
        bucket,
        width: loaded.config.hidden_size,
        head_size: loaded.config.head_size(),
        pool: loaded.pool,
    }
}

/// A text's vectors; `None` if they hold an infinity or what is no number: no score rather than a wrong one.
fn encoding(states: &[u8], pooled: &[u8]) -> Option<Encoding> {
    let halves: Vec<f16> = states.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b)).collect();
    let mut tokens = vec![0.0; halves.len()];
    halves.convert_to_f32_slice(&mut tokens);
    let pooled: Vec<f32> = pooled.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    // A sum is a number only if every part is one; infinities of both signs make it none too.
    let sum = tokens.iter().chain(&pooled).map(|x| x * 0.0).sum::<f32>();
    (sum == 0.0).then_some(Encoding { pooled, tokens })
}

impl Loaded {
    fn new(bundle: &Bundle, number: u32, options: CudaOptions) -> Result<Self, EncoderError> {
        let config = ModelConfig::of(bundle)?;
        let spec = &bundle.manifest.encoder;
        kernels::check(&config)?;
        let card = Card::of(number)?;
        let device = Device::open(card)?;
        let capacity = capacity(&device, &config, spec.max_length, options)?;
        let (module, backend) = module(&device, card.capability()?)?;
        let kernels = Kernels::of(module, &config, card.processors()?)?;
        let tensors =
            SafeTensors::deserialize(&bundle.weights).map_err(|e| EncoderError::Weights(e.to_string()))?;
        let weights = DeviceWeights::load(&device, &Weights::of(&tensors, &config), &config)?;
        device.settle()?;
        let info = EncoderInfo {
            model: bundle.manifest.name.clone(),
            digest: bundle.manifest.digest(),
            device: device.id(),
            precision: "f16".to_owned(),
            backend,
            width: config.hidden_size,
            max_length: spec.max_length,
            threads: 1,
        };
        let pool = Pool { pooling: spec.pooling, normalize: spec.normalize };
        Ok(Self { weights, kernels, config, pool, info, capacity, device })
    }
}

/// The kernels, and what their code is called. A driver that refuses machine code may still translate the portable one.
fn module(device: &Arc<Device>, capability: (i32, i32)) -> Result<(Module, &'static str), EncoderError> {
    let mut refused = Vec::new();
    for image in Image::of(capability).map_err(EncoderError::Unavailable)? {
        match Module::load(device, &image.bytes) {
            Ok(module) => return Ok((module, image.name)),
            Err(e) => refused.push(format!("{}: {e}", image.name)),
        }
    }
    Err(EncoderError::Unavailable(refused.join("; ")))
}

/// What fits into the memory that is free and allowed. Later the driver takes a little for recorded passes, and nothing is
/// lost where it cannot.
fn capacity(
    device: &Device,
    config: &ModelConfig,
    max_length: usize,
    options: CudaOptions,
) -> Result<Capacity, EncoderError> {
    let (free, total) = device.memory()?;
    let most = match options.memory_mb {
        0 => usize::MAX,
        mb => usize::try_from(mb.saturating_mul(1 << 20)).unwrap_or(usize::MAX),
    };
    let allowed = free.saturating_sub(SPARE).min(most);
    let needs = |capacity| DeviceWeights::bytes(config) + ENCODERS * forward::bytes(config, capacity);
    let halved =
        std::iter::successors(Some(MOST), |c| Some(Capacity { rows: c.rows / 2, texts: c.texts / 2 }));
    let least = Capacity { rows: max_length.next_multiple_of(16), texts: 16 };
    let mut fitting = halved.take_while(|c| c.rows >= least.rows).chain([least]);
    fitting.find(|capacity| needs(*capacity) <= allowed).ok_or_else(|| {
        let mb = |bytes: usize| bytes.div_ceil(1 << 20);
        EncoderError::Unavailable(format!(
            "{}: the model needs at least {} MiB of GPU memory; {} of {} MiB are free, {} are allowed",
            device.id(),
            mb(needs(least)),
            mb(free),
            mb(total),
            mb(allowed)
        ))
    })
}

impl Encoder for CudaEncoder {
    fn info(&self) -> &EncoderInfo {
        &self.loaded.info
    }

    fn encode(&mut self, batch: &[&[u32]]) -> Result<Vec<Encoding>, EncoderError> {
        super::check_batch(batch, self.loaded.info.max_length, self.loaded.config.vocab_size)?;
        self.loaded.device.bind()?;
        let mut encodings = Vec::with_capacity(batch.len());
        for pass in layout::passes(batch.iter().map(|ids| ids.len()), self.loaded.capacity) {
            encodings.extend(self.pass(batch.get(pass).unwrap_or_default())?);
        }
        Ok(encodings)
    }
}
