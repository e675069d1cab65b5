//! How wrong a batch is: every request should be nearer to its own action than to any other.
//!
//! Nearness is what the features of the score measure: mean best cosine of the action's tokens with the request's, the
//! same the other way round, and the cosine of the pooled vectors.

use candle_core::{D, Device, Result, Tensor};
use candle_nn::loss::cross_entropy;

use super::texts::{Encoded, Padded, Texts};

/// What a wrong pair is made to weigh, where it may not count.
const NEVER: f64 = -1e9;
/// Weight of the covering of the request beside that of the action.
const COVER_WEIGHT: f64 = 0.5;
/// Weight of finding the request for an action beside that of finding the action for a request.
const BACK_WEIGHT: f64 = 0.5;

/// Texts and their vectors, group by group.
pub struct Side {
    /// The texts.
    pub texts: Texts,
    /// What they became.
    pub encoded: Vec<Encoded>,
}

/// The loss of a batch whose `i`-th action is that of its `i`-th request, and all further actions are wrong ones.
/// `counts`, `[requests, actions]`, is 0 where a pair may not count as wrong.
pub fn contrastive(requests: &Side, actions: &Side, counts: &Tensor, temperature: f64) -> Result<Tensor> {
    let near = nearness(requests, actions)?;
    let count = counts.dim(0)?;
    let own = Tensor::arange(0u32, u32::try_from(count).unwrap_or(u32::MAX), &Device::Cpu)?;
    let barred = ((counts - 1.0)? * -NEVER)?;
    let one = |near: &Tensor| {
        let logits = ((near / temperature)? + &barred)?;
        let forth = cross_entropy(&logits, &own)?;
        let back = cross_entropy(&logits.narrow(1, 0, count)?.t()?.contiguous()?, &own)?;
        forth + (back * BACK_WEIGHT)?
    };
    (one(&near.late)? + (one(&near.cover)? * COVER_WEIGHT)?)? + one(&near.cosine)?
}

/// How far vectors moved from where they were: mean cosine distance of tokens and of pooled vectors.
pub fn moved(now: &Side, before: &[Encoded]) -> Result<Tensor> {
    let (mut tokens, mut pooled) = (Vec::new(), Vec::new());
    for ((now, before), texts) in now.encoded.iter().zip(before).zip(&now.texts.groups) {
        let cosines = (&now.tokens * &before.tokens)?.sum(D::Minus1)?;
        tokens.push((cosines * &texts.inner)?.sum_all()?);
        pooled.push((&now.pooled * &before.pooled)?.sum_all()?);
    }
    let lengths: Vec<usize> = now.texts.groups.iter().flat_map(|g| g.lengths.iter().copied()).collect();
    let mean = |sums: &[Tensor], count: usize| Tensor::stack(sums, 0)?.sum_all()? / count.max(1) as f64;
    (2.0 - (mean(&tokens, lengths.iter().sum())? + mean(&pooled, lengths.len())?)?)?.contiguous()
}

/// Nearness of every request to every action, `[requests, actions]`, in three ways.
struct Nearness {
    late: Tensor,
    cover: Tensor,
    cosine: Tensor,
}

fn nearness(requests: &Side, actions: &Side) -> Result<Nearness> {
    let (mut late, mut cover) = (Vec::new(), Vec::new());
    for (encoded, texts) in requests.encoded.iter().zip(&requests.texts.groups) {
        for (i, length) in texts.lengths.iter().enumerate() {
            // Special tokens stand first and last, so the tokens between are one piece.
            let tokens = encoded.tokens.get(i)?.narrow(0, 1, (*length).max(1))?.t()?.contiguous()?;
            let parts = actions.encoded.iter().zip(&actions.texts.groups);
            let parts: Vec<(Tensor, Tensor)> =
                parts.map(|(e, t)| matched(&tokens, e, t)).collect::<Result<_>>()?;
            late.push(Tensor::cat(&parts.iter().map(|p| &p.0).collect::<Vec<_>>(), 0)?);
            cover.push(Tensor::cat(&parts.iter().map(|p| &p.1).collect::<Vec<_>>(), 0)?);
        }
    }
    let ordered = |rows: &[Tensor]| {
        let by_request = requests.texts.in_order(&Tensor::stack(rows, 0)?, 0)?;
        actions.texts.in_order(&by_request, 1)
    };
    Ok(Nearness {
        late: ordered(&late)?,
        cover: ordered(&cover)?,
        cosine: pooled(requests)?.matmul(&pooled(actions)?.t()?.contiguous()?)?,
    })
}

/// Mean best cosine of each action's tokens with the request's, `[width, tokens]`, and the other way round.
fn matched(request: &Tensor, actions: &Encoded, texts: &Padded) -> Result<(Tensor, Tensor)> {
    let (count, length, width) = actions.tokens.dims3()?;
    let flat = actions.tokens.reshape((count * length, width))?;
    let cosines = flat.matmul(request)?.reshape((count, length, ()))?;
    let late = (cosines.max(2)? * &texts.inner)?.sum(1)?.div(&texts.inner.sum(1)?.maximum(1.0)?)?;
    let absent = ((&texts.inner - 1.0)? * -NEVER)?.unsqueeze(2)?;
    Ok((late, cosines.broadcast_add(&absent)?.max(1)?.mean(1)?))
}

fn pooled(side: &Side) -> Result<Tensor> {
    let groups: Vec<&Tensor> = side.encoded.iter().map(|e| &e.pooled).collect();
    side.texts.in_order(&Tensor::cat(&groups, 0)?, 0)
}
