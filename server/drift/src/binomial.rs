//! Chances of counts, and what a count says of its rate.

/// `P(J = j)` for `J ~ Binomial(n, p)`, `0 < p < 1`: `[n + 1]`. In logarithms, as the first one may be tiny.
pub fn binomial(n: usize, p: f64) -> Vec<f64> {
    let odds = p.ln() - (-p).ln_1p();
    let mut log = n as f64 * (-p).ln_1p();
    let mut chances = Vec::with_capacity(n + 1);
    for j in 0..=n {
        chances.push(log.exp());
        log += ((n - j) as f64 / (j + 1) as f64).ln() + odds;
    }
    chances
}

/// The Clopper-Pearson interval of a rate of which `hits` of `n` were seen: `[0, 1]` where nothing was.
pub fn rate_interval(hits: usize, n: usize, confidence: f64) -> [f64; 2] {
    let tail = (1.0 - confidence) / 2.0;
    let at_most = |most: usize, p: f64| binomial(n, p).iter().take(most + 1).sum::<f64>();
    let low = match hits.checked_sub(1) {
        Some(fewer) => falling_to(1.0 - tail, |p| at_most(fewer, p)),
        None => 0.0,
    };
    let high = if hits < n { falling_to(tail, |p| at_most(hits, p)) } else { 1.0 };
    [low, high]
}

/// Where a function that falls on (0, 1) takes a value, by bisection.
fn falling_to(value: f64, f: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..50 {
        let middle = 0.5 * (low + high);
        if f(middle) > value { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_sum_to_one_also_where_the_first_is_tiny() {
        assert_eq!(binomial(2, 0.5).iter().map(|p| (p * 1e9).round()).collect::<Vec<_>>(), [25e7, 5e8, 25e7]);
        assert!((binomial(100_000, 0.3).iter().sum::<f64>() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn rates_have_the_interval_of_the_textbook() {
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        let [low, high] = rate_interval(0, 10, 0.9);
        assert!(low == 0.0 && close(high, 1.0 - 0.05_f64.powf(0.1)));
        let [low, high] = rate_interval(10, 10, 0.9);
        assert!(high == 1.0 && close(low, 0.05_f64.powf(0.1)));
        let [low, high] = rate_interval(3, 50, 0.95);
        assert!((low - 0.0125).abs() < 1e-4 && (high - 0.1655).abs() < 1e-4, "{low} {high}");
        assert_eq!(rate_interval(0, 0, 0.9), [0.0, 1.0]);
    }
}
