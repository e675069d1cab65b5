//! What the log holds. Every event is JSON, so that an auditor needs no program of ours to read it.

use rhumb_drift::{Effect, Status, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// From 1, without gaps.
    pub seq: u64,
    /// Milliseconds since 1970 (UTC).
    pub time_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "data", rename_all = "snake_case")]
pub enum Event {
    /// An action was scored, or could not be.
    Decision(Box<Decision>),
    /// An intent was registered (version 1) or amended.
    Intent(Box<IntentVersion>),
    /// An intent was ended.
    Revoked(Revocation),
    /// Keys were tied to an intent.
    Bound(Bound),
    /// Somebody tried to tie a key to another intent.
    BindingRefused(BindingRefused),
    /// A token was issued for an intent; the token itself is not kept.
    TokenIssued(TokenIssued),
    /// What a tool says of itself was seen for the first time, and holds from now on.
    ToolPinned(ToolSeen),
    /// A tool says something else of itself than what holds.
    ToolChanged(ToolSeen),
    /// A signing key came into use.
    Key(KeyIntroduced),
    /// Signs everything before.
    Checkpoint(Checkpoint),
    /// The records up to here were removed by the retention rule.
    Retired(Retired),
    /// The texts of these records were made unreadable by the retention rule.
    TextErased(Retired),
    /// A server opened the ledger.
    Opened(Opened),
    /// A person accepted that the log ends before its signed end.
    EndAccepted(EndAccepted),
    /// The first record of a file of the log.
    Segment(SegmentBegun),
}

/// Words of users: kept, encrypted, or not kept.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// As it is.
    Plain(Value),
    /// `<segment>.<base64 of nonce and ciphertext>`; the key is that of the log's file of this number, so that a
    /// copy elsewhere (a table's value) still says which key opens it.
    Sealed(String),
    /// Not kept, or erased.
    #[default]
    Absent,
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// A ULID.
    pub id: String,
    /// As the caller gave it.
    pub request_id: String,
    /// On whose account.
    pub tenant: String,
    /// The authenticated caller; empty where callers are not.
    pub caller: String,
    /// As the caller named it.
    pub enforcement_point: String,
    /// `sha256:...` of the whole request.
    pub request_digest: String,
    /// `sha256:...` of server, tool, arguments and text.
    pub action_digest: String,
    /// The registered intent; absent where there was none.
    pub intent: Option<IntentRef>,
    /// SIGNED, SERVER_BOUND, UNVERIFIED or NONE.
    pub provenance: String,
    /// The accountable human or service.
    pub principal: String,
    /// Where in a chain; absent where the request did not say.
    pub chain: Option<Position>,
    /// The tool's name.
    pub tool: String,
    /// The tool's server.
    pub server: String,
    /// What the action does.
    pub effect: Effect,
    /// How the score came about; `None`: Rhumb failed.
    pub status: Option<Status>,
    /// What the caller was told.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// Absent where there is no score.
    pub drift: Option<f64>,
    /// That applied.
    pub threshold: Option<f64>,
    /// The answer as it was given, without words of users.
    pub response: Value,
    /// Words of users: `{"request": ..., "evidence": ...}`.
    pub content: Content,
}

/// Which intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IntentRef {
    /// A ULID.
    pub id: String,
    /// From 1.
    pub version: u32,
    /// `sha256:...` of the canonical text.
    pub digest: String,
}

/// Where in a chain.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// The chain.
    pub id: String,
    /// From 1.
    pub hop: u32,
    /// Who acts.
    pub agent: String,
    /// Who delegated.
    pub delegator: String,
    /// Drift from the delegating hop's instruction.
    pub step_drift: Option<f64>,
    /// Drift of that instruction from the origin.
    pub instruction_drift: Option<f64>,
    /// The threshold that drift is measured by.
    #[serde(default)]
    pub instruction_threshold: Option<f64>,
}

/// A version of an intent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IntentVersion {
    /// A ULID; the same for all versions.
    pub id: String,
    /// From 1.
    pub version: u32,
    /// On whose account.
    pub tenant: String,
    /// The accountable human or service.
    pub principal: String,
    /// `sha256:...` of the canonical text (`rhumb-text-1`).
    pub digest: String,
    /// The canonical text, a JSON string.
    pub text: Content,
    /// The chain that its tokens name.
    pub chain: String,
    /// The chain of the version before.
    pub previous_chain: Option<String>,
    /// Limits on actions, as registered; an object, or null.
    pub constraints: Value,
    /// When the intent ends, in milliseconds since 1970.
    pub expires_ms: u64,
    /// The workload that registered or amended.
    pub requester: String,
    /// What the principal allowed.
    pub scope: String,
    /// How the person was authenticated.
    pub authentication: String,
    /// The authenticated caller.
    pub caller: String,
    /// The registering request's id.
    pub request_id: String,
    /// `sha256:...` of what was asked for, so that the same request id for something else is found out.
    #[serde(default)]
    pub request_digest: String,
    /// Who approved an amendment, when and where.
    pub approval: Option<Approval>,
    /// Whether tokens of the version before stay valid until they expire.
    pub keep_old: bool,
}

/// A person's approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// Who.
    pub approver: String,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// Where.
    pub channel: String,
}

/// The end of an intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revocation {
    /// Which.
    pub intent: String,
    /// Why, in the caller's words.
    pub reason: String,
    /// The authenticated caller.
    pub caller: String,
}

/// What a binding's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BindingKind {
    /// W3C trace id.
    Trace,
    /// MCP session id.
    McpSession,
    /// OpenShell sandbox id.
    OpenshellSandbox,
    /// A2A context id.
    A2aContext,
    /// Chain id.
    Chain,
}

/// A key that leads to an intent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BindingKey {
    /// What the value is.
    pub kind: BindingKind,
    /// 1 to 256 bytes, printable ASCII.
    pub value: String,
}

/// Keys tied to an intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bound {
    /// Which.
    pub intent: String,
    /// On whose account.
    pub tenant: String,
    /// The keys.
    pub keys: Vec<BindingKey>,
    /// The authenticated caller; empty where callers are not.
    pub caller: String,
    /// When the keys end, in milliseconds since 1970.
    pub until_ms: u64,
}

/// A try to tie a key that belongs to another intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BindingRefused {
    /// The intent that was to be bound.
    pub intent: String,
    /// The intent that the key belongs to.
    pub holder: String,
    /// On whose account.
    pub tenant: String,
    /// The key.
    pub key: BindingKey,
    /// The authenticated caller.
    pub caller: String,
}

/// A token was issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenIssued {
    /// For which intent.
    pub intent: String,
    /// And version.
    pub version: u32,
    /// The agent that is to act.
    pub actor: String,
    /// When the token ends, in milliseconds since 1970.
    pub expires_ms: u64,
    /// The authenticated caller.
    pub caller: String,
}

/// What a tool says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolSeen {
    /// On whose account.
    pub tenant: String,
    /// The server that offers it.
    pub server: String,
    /// Its name.
    pub tool: String,
    /// `sha256:...` of its description and schema.
    pub digest: String,
    /// The authenticated caller who showed it; empty where callers are not.
    pub caller: String,
}

/// A signing key came into use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyIntroduced {
    /// Its id.
    pub kid: String,
    /// The public key, base64url of 32 bytes.
    pub x: String,
}

/// A signature over the digest of the record before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The key's id.
    pub kid: String,
    /// The digest that is signed, 64 hexadecimal digits.
    pub digest: String,
    /// Base64url of the Ed25519 signature.
    pub signature: String,
}

/// Records that are there no more, or whose texts are not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired {
    /// The first.
    pub from: u64,
    /// The last.
    pub through: u64,
    /// The digest of the last, 64 hexadecimal digits.
    pub digest: String,
}

/// A server opened the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// Version of the program.
    pub version: String,
    /// `keep`, `encrypt` or `digest`.
    pub text: String,
}

/// A person accepted that the log ends before its signed end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndAccepted {
    /// The last record that was there.
    pub last: u64,
    /// The last one that was signed for; absent where that could not be read.
    pub signed: Option<u64>,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
}

/// A file of the log begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SegmentBegun {
    /// The file's number, from 1.
    pub number: u32,
    /// SHA-256 of the file with the wrapped key of its texts, 64 hexadecimal digits; absent where texts are not
    /// encrypted.
    pub text_key: Option<String>,
}
