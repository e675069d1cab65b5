//! Which contract an action came by.

use serde::Deserialize;

/// Which contract an action came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Surface {
    /// `DriftService` and `POST /v1/score`.
    #[default]
    Score,
    /// Envoy's `Authorization/Check`.
    Envoy,
    /// OpenShell's `SupervisorMiddleware` and `GatewayInterceptor`.
    #[serde(rename = "openshell")]
    OpenShell,
    /// agentgateway's `ExtMcp`.
    #[serde(rename = "agentgateway")]
    AgentGateway,
    /// LiteLLM's generic guardrail.
    #[serde(rename = "litellm")]
    LiteLlm,
    /// Claude Code's HTTP hook.
    ClaudeCode,
}

impl Surface {
    /// As in policies and counters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::Envoy => "envoy",
            Self::OpenShell => "openshell",
            Self::AgentGateway => "agentgateway",
            Self::LiteLlm => "litellm",
            Self::ClaudeCode => "claude_code",
        }
    }

    /// Whether it is a proxy between agents and tools. Agents reach those without being asked who they are, so what such
    /// a surface carries is trusted less by default.
    pub fn is_proxy(self) -> bool {
        matches!(self, Self::Envoy | Self::OpenShell | Self::AgentGateway)
    }
}
