//! Where a model is computed: asked for, or the best that is there.

use crate::bundle::Bundle;
use crate::encoder::cpu::smoothing::Smoothing;
use crate::encoder::cpu::{Arithmetic, CpuEncoder, Kernel};
use crate::encoder::cuda::{self, CudaEncoder, CudaOptions};
use crate::encoder::reference::ReferenceEncoder;
use crate::encoder::{Encoder, EncoderError};
use crate::golden::Agreement;
use crate::load::{Device, LoadOptions, Precision};

/// Encoders of one model.
pub struct Chosen {
    /// At least one, each for a thread of its own.
    pub encoders: Vec<Box<dyn Encoder>>,
    /// Which device, and why; for a person.
    pub why: String,
    /// What the check said of the worst device.
    pub agreement: Option<Agreement>,
}

/// Checks an encoder before its device is used, for example against golden vectors.
pub type Check<'a> = &'a dyn Fn(&mut dyn Encoder) -> Result<Option<Agreement>, EncoderError>;

/// Loads a bundle where it is asked for. `auto` takes every GPU that works and can hold the model, else the CPU; a GPU that
/// fails the check is none, and the others go on without it.
///
/// # Errors
/// What was asked for is not to be had, or does not pass the check.
pub fn choose(bundle: &Bundle, options: LoadOptions, check: Check<'_>) -> Result<Chosen, EncoderError> {
    let on_cpu = |why: String| -> Result<Chosen, EncoderError> {
        let (encoders, agreement) = checked(cpu(bundle, options)?, check)?;
        let backend = encoders.first().map_or("", |encoder| encoder.info().backend);
        Ok(Chosen { encoders, why: format!("cpu ({backend}): {why}"), agreement })
    };
    let of_cpu = matches!(options.precision, Precision::F32 | Precision::Int8);
    match options.device {
        Device::Auto if options.reference => on_cpu("the reference encoder computes there".to_owned()),
        Device::Cpu => on_cpu("asked for".to_owned()),
        Device::Auto if of_cpu => on_cpu(format!("{} is computed there", options.precision)),
        Device::Cuda(_) if options.reference || of_cpu => Err(EncoderError::Unavailable(format!(
            "device {}: a GPU computes in f16; use --precision f16 or auto, or --device cpu",
            options.device
        ))),
        Device::Cuda(number) => {
            gpus(bundle, number, options, check).map_err(|e| asked_for(options.device, e))
        }
        Device::Auto => match gpus(bundle, None, options, check) {
            Ok(chosen) => Ok(chosen),
            Err(e) if options.precision == Precision::F16 => Err(asked_for(options.device, e)),
            Err(e) => on_cpu(format!("no GPU: {e}")),
        },
    }
}

fn asked_for(device: Device, error: EncoderError) -> EncoderError {
    match error {
        EncoderError::Unavailable(why) => EncoderError::Unavailable(format!("device {device}: {why}")),
        other => other,
    }
}

/// Unless asked otherwise int8 where it is known to be good, else f32. `rhumb eval` gives the same figures for both.
fn cpu(bundle: &Bundle, options: LoadOptions) -> Result<Vec<Box<dyn Encoder>>, EncoderError> {
    let threads = options.threads;
    let arithmetic = match options.precision {
        _ if options.reference => return Ok(vec![Box::new(ReferenceEncoder::load(bundle, threads)?)]),
        Precision::Auto if Smoothing::suits(&bundle.manifest.digest()) => Arithmetic::Int8,
        Precision::Auto | Precision::F32 => Arithmetic::F32,
        Precision::Int8 => Arithmetic::Int8,
        Precision::F16 => {
            let problem = "precision f16: the CPU computes in f32 or int8; use --precision f32, int8 or auto";
            return Err(EncoderError::Unavailable(problem.to_owned()));
        }
    };
    Ok(boxed(CpuEncoder::load(bundle, arithmetic, threads, Kernel::Best)?.and_others()))
}

fn boxed<E: Encoder + 'static>(encoders: Vec<E>) -> Vec<Box<dyn Encoder>> {
    encoders.into_iter().map(|encoder| Box::new(encoder) as Box<dyn Encoder>).collect()
}

/// Encoders of one device share weights and kernels; one of them is checked for all.
fn checked(mut encoders: Vec<Box<dyn Encoder>>, check: Check<'_>) -> Result<OfOneDevice, EncoderError> {
    let agreement = match encoders.first_mut() {
        Some(encoder) => check(encoder.as_mut())?,
        None => None,
    };
    Ok((encoders, agreement))
}

/// Every GPU that can be used, or the one asked for.
fn gpus(
    bundle: &Bundle,
    number: Option<u32>,
    options: LoadOptions,
    check: Check<'_>,
) -> Result<Chosen, EncoderError> {
    let found = cuda::find(number).map_err(EncoderError::Unavailable)?;
    let (mut chosen, mut refused) =
        (Chosen { encoders: Vec::new(), why: String::new(), agreement: None }, vec![]);
    for device in found {
        match gpu(bundle, device.number, options, check) {
            Ok((encoders, agreement)) => {
                let backend = encoders.first().map_or("", |encoder| encoder.info().backend);
                chosen.agreement = chosen.agreement.into_iter().chain(agreement).reduce(Agreement::or_worse);
                chosen.why += if chosen.why.is_empty() { "" } else { "; " };
                chosen.why += &format!("{}: {backend}", device.text);
                chosen.encoders.extend(encoders);
            }
            Err(e) => refused.push(match e {
                EncoderError::SelfTest(_) => format!("cuda:{}: {e}", device.number),
                other => other.to_string(),
            }),
        }
    }
    if chosen.encoders.is_empty() {
        return Err(EncoderError::Unavailable(refused.join("; ")));
    }
    for why in refused {
        tracing::warn!("a GPU is not used: {why}");
        chosen.why += &format!("; not used: {why}");
    }
    Ok(chosen)
}

type OfOneDevice = (Vec<Box<dyn Encoder>>, Option<Agreement>);

fn gpu(
    bundle: &Bundle,
    number: u32,
    options: LoadOptions,
    check: Check<'_>,
) -> Result<OfOneDevice, EncoderError> {
    let loaded = CudaEncoder::load(bundle, number, CudaOptions { memory_mb: options.gpu_memory_mb })?;
    checked(boxed(loaded), check)
}
