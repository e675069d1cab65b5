//! A low-rank addition to a bundle's weights, trained so that requests and the actions that serve them come to lie closer.
//!
//! The outcome is weights like any others: the addition is merged into a copy of them, so that an encoder neither knows nor
//! pays for it.

mod frozen;
mod loss;
mod merge;
mod network;
mod texts;

use candle_core::{Device, Result, Tensor};
use candle_nn::{AdamW, Optimizer as _, ParamsAdamW};

use self::loss::{Side, contrastive, moved};
use self::network::Network;
use self::texts::Texts;
use crate::bundle::{Architecture, Bundle};
use crate::encoder::EncoderError;
use crate::encoder::config::ModelConfig;

pub use self::merge::Adapter;

/// How to train.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Rank of what is added to a weight.
    pub rank: usize,
    /// Steps in all.
    pub steps: usize,
    /// Size of a step at its largest.
    pub rate: f64,
    /// Cosines are divided by it: the smaller, the more the nearest wrong action counts.
    pub temperature: f64,
    /// Weight of staying where the vectors were.
    pub keep: f64,
}

/// Requests with an action each, and wrong actions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// Token ids of the requests.
    pub requests: Vec<Vec<u32>>,
    /// Token ids of the actions: first one for each request, in order, then the wrong ones.
    pub actions: Vec<Vec<u32>>,
    /// The request that each wrong action is wrong for, by place. It says nothing about others.
    pub wrong_for: Vec<usize>,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Of the pairs alone.
    pub loss: f32,
    /// How far the vectors moved; see [`Settings::keep`].
    pub moved: f32,
}

/// Steps over which the rate grows to its largest.
const WARM_UP: usize = 15;
/// A longer gradient is cut to this length.
const LONGEST_GRADIENT: f64 = 1.0;

/// An adapter in training.
pub struct Training {
    network: Network,
    optimizer: AdamW,
    settings: Settings,
    step: usize,
}

impl Training {
    /// Begins with the bundle's weights; `random` gives numbers from -1 to 1.
    ///
    /// # Errors
    /// If the configuration is not supported or a tensor is missing.
    pub fn of(
        bundle: &Bundle,
        settings: Settings,
        random: &mut dyn FnMut() -> f32,
    ) -> std::result::Result<Self, EncoderError> {
        let config = ModelConfig::of(bundle)?;
        if config.architecture != Architecture::Bert {
            let problem = format!("adapters are trained for BERT only, not for {:?}", config.architecture);
            return Err(EncoderError::Unavailable(problem));
        }
        let network = Network::load(&config, &bundle.weights, &settings, random)
            .map_err(|e| EncoderError::Weights(e.to_string()))?;
        let variables = network.added().flat_map(|a| [a.down.clone(), a.up.clone()]).collect();
        let optimizer = AdamW::new(variables, ParamsAdamW { lr: settings.rate, ..ParamsAdamW::default() })?;
        Ok(Self { network, optimizer, settings, step: 0 })
    }

    /// One step on one batch.
    ///
    /// # Errors
    /// If the computation fails, as for a batch of texts that do not fit the model.
    pub fn step(&mut self, batch: &Batch) -> std::result::Result<Step, EncoderError> {
        self.optimizer.set_learning_rate(self.rate());
        self.step += 1;
        let (requests, actions) = (self.side(&batch.requests)?, self.side(&batch.actions)?);
        let loss = contrastive(&requests, &actions, &counts(batch)?, self.settings.temperature)?;
        // The requests stand for all texts: they are a quarter of the tokens.
        let before = requests.texts.groups.iter().map(|texts| self.network.encode(texts, false));
        let moved = moved(&requests, &before.collect::<Result<Vec<_>>>()?)?;
        let total = (&loss + (&moved * self.settings.keep)?)?;
        self.descend(&total)?;
        Ok(Step { loss: loss.to_scalar()?, moved: moved.to_scalar()? })
    }

    /// What was learned, for the weights with this digest.
    ///
    /// # Errors
    /// If the numbers cannot be read back.
    pub fn finish(self, base: &str) -> std::result::Result<Adapter, EncoderError> {
        Adapter::of(self.network.added(), base)
    }

    fn side(&self, texts: &[Vec<u32>]) -> Result<Side> {
        let texts = Texts::of(texts)?;
        let encoded = texts.groups.iter().map(|group| self.network.encode(group, true));
        Ok(Side { encoded: encoded.collect::<Result<_>>()?, texts })
    }

    fn rate(&self) -> f64 {
        let done = self.step as f64 / self.settings.steps.max(1) as f64;
        let grown = ((self.step + 1) as f64 / WARM_UP as f64).min(1.0);
        self.settings.rate * grown * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
    }

    fn descend(&mut self, loss: &Tensor) -> Result<()> {
        let mut gradients = loss.backward()?;
        let variables: Vec<Tensor> = self
            .network
            .added()
            .flat_map(|a| [a.down.as_tensor().clone(), a.up.as_tensor().clone()])
            .collect();
        let mut squares = 0.0;
        for variable in &variables {
            if let Some(gradient) = gradients.get(variable) {
                squares += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
            }
        }
        let scale = (LONGEST_GRADIENT / squares.sqrt().max(1e-12)).min(1.0);
        for variable in &variables {
            if let Some(gradient) = gradients.remove(variable) {
                gradients.insert(variable, (gradient * scale)?);
            }
        }
        self.optimizer.step(&gradients)
    }
}

/// `[requests, actions]`: 1 for a request's own action and for those that are wrong for it, 0 for the rest. An action of
/// another request is wrong, unless it is the same text.
fn counts(batch: &Batch) -> Result<Tensor> {
    let (requests, actions) = (batch.requests.len(), batch.actions.len());
    let counts = |request: usize, action: usize| match action.checked_sub(requests) {
        Some(wrong) => batch.wrong_for.get(wrong) == Some(&request),
        None => request == action || batch.actions.get(request) != batch.actions.get(action),
    };
    let pairs = (0..requests).flat_map(|r| (0..actions).map(move |a| (r, a)));
    let flat: Vec<f32> = pairs.map(|(r, a)| if counts(r, a) { 1.0 } else { 0.0 }).collect();
    Tensor::from_vec(flat, (requests, actions), &Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::Encoder as _;
    use crate::encoder::reference::ReferenceEncoder;
    use crate::load::LoadOptions;

    fn settings() -> Settings {
        Settings { rank: 2, steps: 12, rate: 5e-3, temperature: 0.05, keep: 0.1 }
    }

    fn batch() -> Batch {
        let text = |inner: &[u32]| [&[101], inner, &[102]].concat();
        let requests = [[2175, 2000], [3477, 3960], [4604, 5653]].map(|t| text(&t)).to_vec();
        let right = [vec![6980, 2000, 2188], vec![5102, 3960], vec![5653]];
        let wrong = [vec![3972, 3970], vec![6709, 2000, 2023, 2003]];
        let actions = right.iter().chain(&wrong).map(|t| text(t)).collect();
        Batch { requests, actions, wrong_for: vec![0, 2] }
    }

    fn bundle() -> Bundle {
        let store = crate::Store::open(None).unwrap();
        crate::bundle::fetch(&store, "minilm", &mut |_| {}).unwrap();
        store.load("minilm").unwrap()
    }

    fn trained(bundle: &Bundle) -> (Vec<Step>, Adapter) {
        let mut state = 7u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let mut training = Training::of(bundle, settings(), &mut random).unwrap();
        let steps = (0..settings().steps).map(|_| training.step(&batch()).unwrap()).collect();
        (steps, training.finish(&bundle.manifest.digest()).unwrap())
    }

    #[test]
    fn a_pair_counts_as_wrong_where_it_is_known_to_be() {
        let mut batch = batch();
        batch.actions[1] = batch.actions[0].clone();
        let rows = counts(&batch).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(rows[0], [1.0, 0.0, 1.0, 1.0, 0.0]);
        assert_eq!(rows[1], [0.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!(rows[2], [1.0, 1.0, 1.0, 0.0, 1.0]);
    }

    #[test]
    fn the_network_begins_as_the_reference_and_ends_as_the_merged_weights() {
        let bundle = bundle();
        let ids = batch().actions[4].clone();
        let pooled = |bundle: &Bundle| {
            ReferenceEncoder::load(bundle, 1).unwrap().encode(&[&ids]).unwrap().remove(0).pooled
        };
        let mut training = Training::of(&bundle, settings(), &mut || 0.5).unwrap();
        let own = |training: &Training| {
            let side = training.side(std::slice::from_ref(&ids)).unwrap();
            side.encoded[0].pooled.get(0).unwrap().to_vec1::<f32>().unwrap()
        };
        let far = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far(&own(&training), &pooled(&bundle)) < 1e-5);
        training.step(&batch()).unwrap();
        let learned = own(&training);
        assert!(far(&learned, &pooled(&bundle)) > 1e-4);
        let adapter = training.finish(&bundle.manifest.digest()).unwrap();
        let merged =
            |scale| bundle.with_weights("tuned", "tuned", adapter.merged(&bundle, scale).unwrap()).unwrap();
        assert!(far(&learned, &pooled(&merged(1.0))) < 1e-5);
        assert!(far(&pooled(&bundle), &pooled(&merged(0.0))) < 1e-6);
        // Every encoder takes what was merged.
        crate::load(&merged(1.0), LoadOptions::default()).unwrap();
        assert!(adapter.merged(&merged(1.0), 1.0).is_err());
    }

    #[test]
    fn training_lowers_the_loss_and_comes_to_the_same_again() {
        let bundle = bundle();
        let (steps, adapter) = trained(&bundle);
        assert!(steps[11].loss < 0.8 * steps[0].loss && steps[0].moved < 1e-3, "{steps:?}");
        assert_eq!(adapter.parameters(), 6 * 4 * 2 * (384 + 384));
        let (again, same) = trained(&bundle);
        assert_eq!(steps, again);
        assert_eq!(adapter.merged(&bundle, 1.0).unwrap(), same.merged(&bundle, 1.0).unwrap());
    }
}
