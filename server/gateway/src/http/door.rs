//! The doors: one for each path that takes a request.

use rhumb_engine::Lane;

use crate::callers::Role;
use crate::surface::Surface;

/// A path that takes a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// `POST /v1/score`
    Score,
    /// `POST /v1/score:batch`
    ScoreBatch,
    /// `POST /v1/intents`
    Intents,
    /// `POST <base>/beta/litellm_basic_guardrail_api`
    LiteLlm,
    /// `POST /v1/hooks/claude-code`
    ClaudeCode,
}

impl Door {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::Score, Self::ScoreBatch, Self::Intents, Self::LiteLlm, Self::ClaudeCode];

    /// As in counters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::ScoreBatch => "score_batch",
            Self::Intents => "intents",
            Self::LiteLlm => "litellm",
            Self::ClaudeCode => "claude_code",
        }
    }

    /// What a caller needs to come in. A hook that registers a prompt needs more, which is seen when it is read.
    pub fn role(self) -> Role {
        if self == Self::Intents { Role::Intents } else { Role::Score }
    }

    /// How urgent it is where the caller does not say.
    pub fn lane(self) -> Lane {
        match self {
            Self::ScoreBatch => Lane::Bulk,
            Self::Intents => Lane::Interactive,
            _ => Lane::Enforcement,
        }
    }

    /// Which contract it is.
    pub fn surface(self) -> Surface {
        match self {
            Self::LiteLlm => Surface::LiteLlm,
            Self::ClaudeCode => Surface::ClaudeCode,
            _ => Surface::Score,
        }
    }
}
