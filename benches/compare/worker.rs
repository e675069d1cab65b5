//! One encoder that works when it is told to.

use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use rhumb_models::tokenizer::{Tokenizer, WindowRule};
use rhumb_models::{LoadOptions, Loaded, Precision, Store, load};
use serde::{Deserialize, Serialize};

use crate::{Contender, Failure};

/// What to do.
#[derive(Deserialize)]
struct Task {
    /// Texts by number, batch by batch.
    batches: Vec<Vec<usize>>,
    /// Whole passes over the batches are made until this time is over, at least one.
    seconds: f64,
    /// Whether to answer with ids and vectors, from one pass, instead of the time.
    #[serde(default)]
    vectors: bool,
}

/// What was done.
#[derive(Serialize)]
struct Done {
    passes: usize,
    seconds: f64,
}

/// Text by text.
#[derive(Serialize, Default)]
pub struct Output {
    /// Token ids.
    pub ids: Vec<Vec<u32>>,
    /// Pooled and normalised.
    pub vectors: Vec<Vec<f32>>,
}

/// What can be compared: texts in, normalised vectors out.
pub trait Embed {
    /// Encodes one batch.
    fn embed(&mut self, texts: &[&str]) -> Result<Output, Failure>;
}

impl Embed for Loaded {
    fn embed(&mut self, texts: &[&str]) -> Result<Output, Failure> {
        let ids = tokenize(&self.tokenizer, texts, self.info()?.max_length)?;
        let batch: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
        let vectors = self.encoder()?.encode(&batch)?.into_iter().map(|e| e.pooled).collect();
        Ok(Output { ids, vectors })
    }
}

/// What does not fit into the model is left out, as everywhere in the comparison.
pub fn tokenize(tokenizer: &Tokenizer, texts: &[&str], max_length: usize) -> Result<Vec<Vec<u32>>, Failure> {
    let rule = WindowRule { max_length, overlap: 0, max_windows: 1 };
    let first = |text: &&str| {
        let windows = tokenizer.windows(text, rule)?.windows;
        windows.into_iter().next().map(|w| w.ids).ok_or_else(|| Failure::from("no tokens"))
    };
    texts.iter().map(first).collect()
}

/// Says what the others need to know of a bundle.
pub fn describe(name: &str) -> Result<(), Failure> {
    let store = Store::open(None)?;
    let manifest = store.load(name)?.manifest;
    answer(&serde_json::json!({
        "folder": store.home().join("bundles").join(name),
        "maxLength": manifest.encoder.max_length,
        "digest": manifest.digest(),
    }))
}

/// Says that it is ready, then works until its input ends.
pub fn run(contender: Contender, threads: usize, texts: &[String], bundle: &str) -> Result<(), Failure> {
    let (mut encoder, about) = open(contender, threads, bundle)?;
    answer(&about)?;
    for line in std::io::stdin().lock().lines() {
        let task: Task = serde_json::from_str(&line?)?;
        let pick = |numbers: &Vec<usize>| {
            let text = |n: &usize| texts.get(*n).map(String::as_str).ok_or_else(|| format!("no text {n}"));
            numbers.iter().map(text).collect::<Result<Vec<_>, _>>()
        };
        let batches = task.batches.iter().map(pick).collect::<Result<Vec<_>, _>>()?;
        if task.vectors {
            answer(&output(encoder.as_mut(), &batches)?)?;
        } else {
            answer(&timed(encoder.as_mut(), &batches, Duration::try_from_secs_f64(task.seconds)?)?)?;
        }
    }
    Ok(())
}

/// The encoder, and what it says of itself.
fn open(
    contender: Contender,
    threads: usize,
    bundle: &str,
) -> Result<(Box<dyn Embed>, serde_json::Value), Failure> {
    let bundle = Store::open(None)?.load(bundle)?;
    let options = |precision, reference| LoadOptions { precision, threads, reference, ..Default::default() };
    let options = match contender {
        Contender::RhumbF32 => options(Precision::F32, false),
        Contender::RhumbInt8 => options(Precision::Int8, false),
        Contender::Candle => options(Precision::F32, true),
        #[cfg(feature = "candle-transformers")]
        Contender::CandleTransformers => return crate::padded::open(&bundle, threads),
        #[cfg(not(feature = "candle-transformers"))]
        Contender::CandleTransformers => {
            return Err("built without the feature candle-transformers".into());
        }
    };
    let loaded = load(&bundle, options)?;
    let info = loaded.info()?;
    let about = serde_json::json!({
        "backend": info.backend, "precision": info.precision, "threads": info.threads, "digest": info.digest,
    });
    Ok((Box::new(loaded), about))
}

/// The first batch is encoded once before the clock starts: other processes had the caches.
fn timed(encoder: &mut dyn Embed, batches: &[Vec<&str>], least: Duration) -> Result<Done, Failure> {
    if let Some(first) = batches.first() {
        encoder.embed(first)?;
    }
    let started = Instant::now();
    let mut passes = 0;
    loop {
        for batch in batches {
            std::hint::black_box(encoder.embed(batch)?);
        }
        passes += 1;
        let taken = started.elapsed();
        if taken >= least {
            return Ok(Done { passes, seconds: taken.as_secs_f64() });
        }
    }
}

fn output(encoder: &mut dyn Embed, batches: &[Vec<&str>]) -> Result<Output, Failure> {
    let mut output = Output::default();
    for batch in batches {
        let found = encoder.embed(batch)?;
        output.ids.extend(found.ids);
        output.vectors.extend(found.vectors);
    }
    Ok(output)
}

fn answer(value: &impl Serialize) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    serde_json::to_writer(&mut output, value)?;
    output.write_all(b"\n")?;
    Ok(output.flush()?)
}
