//! The token with which an OpenShell gateway or supervisor calls: a JWT signed by the gateway.
//!
//! It is no secret between two: supervisors show the same token for every call of its life, so a repeated `jti` means
//! nothing. What it proves is who calls, and for a supervisor, for which sandbox.

use rhumb_ledger::intent::jws::Unverified;
use rhumb_ledger::intent::keyset::Algorithm;
use serde_json::{Map, Value};

use super::config::OpenShellConfig;
use super::keys::KeyFile;

/// The gateway signs admission tokens of sandboxes with the same key: only this type is for us.
const TYPE: &str = "openshell-ext+jwt";
/// How far clocks may differ, in seconds.
const LEEWAY_S: u64 = 30;
/// The longest life, in seconds.
const MAX_LIFE_S: u64 = 3600;
/// What a supervisor's `sub` begins with.
const SANDBOX: &str = "spiffe://openshell/sandbox/";

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Speaker {
    /// The gateway.
    Gateway,
    /// The supervisor of this sandbox.
    Supervisor(String),
}

/// A token that is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Who calls.
    pub speaker: Speaker,
    /// `sub`
    pub subject: String,
}

/// Checks tokens.
#[derive(Debug, Clone)]
pub struct Verifier {
    issuer: String,
    keys: KeyFile,
}

impl Verifier {
    /// With the keys of the configuration; `None` where callers need no token.
    ///
    /// # Errors
    /// Names the file.
    pub fn open(config: &OpenShellConfig) -> Result<Option<Self>, String> {
        let Some(path) = &config.jwks else { return Ok(None) };
        let issuer = format!("openshell-gateway:{}", config.gateway_id);
        Ok(Some(Self { issuer, keys: KeyFile::open(path)? }))
    }

    /// The gateway's keys.
    pub fn keys(&self) -> &KeyFile {
        &self.keys
    }

    /// Checks a token at `now_s` (seconds since 1970): type, algorithm, key, signature, issuer, audience, times, kind of
    /// caller, in this order.
    ///
    /// # Errors
    /// The first check that fails.
    pub async fn verify(&self, token: &str, audience: &str, now_s: u64) -> Result<Proof, String> {
        let token = Unverified::parse(token)?;
        if token.typ() != Some(TYPE) {
            return Err(format!("header: typ: not {TYPE}"));
        }
        token.check_header(TYPE, Algorithm::EdDsa)?;
        let keys = self.keys.with(token.kid().unwrap_or_default()).await;
        let keys = keys.ok_or("header: kid: not known")?;
        let claims = token.verify(&keys).ok_or("not signed by its key")?;
        self.check_claims(&claims, audience, now_s)
    }

    fn check_claims(&self, claims: &Map<String, Value>, audience: &str, now_s: u64) -> Result<Proof, String> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if text("iss") != Some(self.issuer.as_str()) {
            return Err("claims: iss: not the configured gateway".to_owned());
        }
        if text("aud") != Some(audience) {
            return Err("claims: aud: not this service".to_owned());
        }
        check_times(claims, now_s)?;
        let subject = text("sub").unwrap_or_default().to_owned();
        let speaker = match text("caller_kind") {
            Some("gateway") if subject == self.issuer => Speaker::Gateway,
            Some("supervisor") => Speaker::Supervisor(sandbox(&subject, text("sandbox_id"))?),
            Some("gateway") => return Err("claims: sub: not the gateway".to_owned()),
            _ => return Err("claims: caller_kind: neither gateway nor supervisor".to_owned()),
        };
        Ok(Proof { speaker, subject })
    }
}

fn check_times(claims: &Map<String, Value>, now_s: u64) -> Result<(), String> {
    let seconds = |name: &str| {
        let value = claims.get(name).and_then(Value::as_u64).filter(|s| *s < 1 << 40);
        value.ok_or_else(|| format!("claims: {name}: not whole seconds"))
    };
    let (exp, iat) = (seconds("exp")?, seconds("iat")?);
    let problem = match () {
        () if exp + LEEWAY_S <= now_s => "claims: exp: over",
        () if iat > now_s + LEEWAY_S => "claims: iat: not yet",
        () if exp.checked_sub(iat).is_none_or(|life| life > MAX_LIFE_S) => "claims: exp: too long after iat",
        () => return Ok(()),
    };
    Err(problem.to_owned())
}

/// The sandbox that both claims name.
fn sandbox(subject: &str, id: Option<&str>) -> Result<String, String> {
    let id = id.filter(|id| !id.is_empty()).ok_or("claims: sandbox_id: missing")?;
    if subject.strip_prefix(SANDBOX) != Some(id) {
        return Err("claims: sub: not the sandbox of sandbox_id".to_owned());
    }
    Ok(id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: u64 = 1_795_000_000;

    fn check(change: impl FnOnce(&mut Value)) -> Result<Proof, String> {
        let folder = std::env::temp_dir().join(format!("rhumb-openshell-{:?}", std::thread::current().id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("keys.json");
        let x = format!("{}A", "B".repeat(42));
        let set = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": x}]});
        std::fs::write(&path, set.to_string()).unwrap();
        let verifier = Verifier { issuer: "openshell-gateway:g".into(), keys: KeyFile::open(&path).unwrap() };
        std::fs::remove_dir_all(&folder).unwrap();
        let mut claims = json!({
            "iss": "openshell-gateway:g", "aud": "us", "caller_kind": "supervisor", "sandbox_id": "s1",
            "sub": "spiffe://openshell/sandbox/s1", "iat": NOW, "exp": NOW + 900, "jti": "1",
        });
        change(&mut claims);
        verifier.check_claims(claims.as_object().unwrap(), "us", NOW)
    }

    #[test]
    fn who_calls_is_what_all_claims_agree_on() {
        assert_eq!(check(|_| ()).unwrap().speaker, Speaker::Supervisor("s1".into()));
        let gateway = |c: &mut Value| {
            c["caller_kind"] = "gateway".into();
            c["sub"] = "openshell-gateway:g".into();
        };
        assert_eq!(check(gateway).unwrap().speaker, Speaker::Gateway);
        for (name, value) in [
            ("sub", json!("spiffe://openshell/sandbox/s2")),
            ("sandbox_id", json!("")),
            ("sandbox_id", json!(null)),
            ("caller_kind", json!("gateway")),
            ("caller_kind", json!("admin")),
            ("aud", json!(["us"])),
            ("aud", json!("us ")),
            ("iss", json!("openshell-gateway:other")),
        ] {
            assert!(check(|c| c[name] = value.clone()).is_err(), "{name} {value}");
        }
    }

    #[test]
    fn clocks_may_differ_by_half_a_minute_and_a_token_lives_an_hour_at_most() {
        let times = |iat: u64, exp: u64| {
            check(|c| {
                c["iat"] = iat.into();
                c["exp"] = exp.into();
            })
        };
        assert!(times(NOW + 30, NOW + 60).is_ok() && times(NOW + 31, NOW + 60).is_err());
        assert!(times(NOW - 900, NOW - 29).is_ok() && times(NOW - 900, NOW - 30).is_err());
        assert!(times(NOW, NOW + 3600).is_ok() && times(NOW, NOW + 3601).is_err());
        assert!(times(NOW, NOW - 1).is_err() && check(|c| c["exp"] = 1.5.into()).is_err());
    }
}
