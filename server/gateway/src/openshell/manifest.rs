//! What OpenShell is told that it may ask us. Its gateway does not start with a manifest that is wrong.

use rhumb_proto::openshell::gateway_interceptor::{
    GatewayInterceptorPhase as Phase, InterceptorBinding, InterceptorManifest, InterceptorSelector,
};
use rhumb_proto::openshell::middleware::{
    MiddlewareBinding, MiddlewareManifest, SupervisorMiddlewareOperation, SupervisorMiddlewarePhase,
};

use super::{OpenShell, limits};

/// The service whose calls are intercepted.
pub(super) const SERVICE: &str = "openshell.v1.OpenShell";
/// Calls that are intercepted.
pub(super) const CREATE: &str = "CreateSandbox";
pub(super) const DELETE: &str = "DeleteSandbox";
pub(super) const ANALYSIS: &str = "SubmitPolicyAnalysis";
pub(super) const APPROVE: &str = "ApproveDraftChunk";

const NAME: &str = "rhumb";
const CLOSED: &str = "fail_closed";
/// The only policy for what is told after the fact.
const OPEN: &str = "fail_open";

/// That of `SupervisorMiddleware`.
pub(super) fn middleware(of: &OpenShell) -> MiddlewareManifest {
    let binding = MiddlewareBinding {
        operation: SupervisorMiddlewareOperation::HttpRequest.into(),
        phase: SupervisorMiddlewarePhase::PreCredentials.into(),
        max_payload_bytes: limits::BODY as u64,
        timeout: of.0.config.timeout_ms.map(|ms| format!("{ms}ms")).unwrap_or_default(),
    };
    MiddlewareManifest {
        name: NAME.to_owned(),
        service_version: env!("CARGO_PKG_VERSION").to_owned(),
        bindings: vec![binding],
        expected_audience: audience(of, &of.0.config.middleware_audience),
    }
}

/// That of `GatewayInterceptor`.
pub(super) fn interceptor(of: &OpenShell) -> InterceptorManifest {
    InterceptorManifest {
        name: NAME.to_owned(),
        bindings: vec![
            binding("create-sandbox", CREATE, Phase::Validate, CLOSED),
            binding("bind-sandbox", CREATE, Phase::PostCommit, OPEN),
            binding("delete-sandbox", DELETE, Phase::PostCommit, OPEN),
            binding("policy-analysis", ANALYSIS, Phase::Validate, CLOSED),
            binding("draft-approval", APPROVE, Phase::PostCommit, OPEN),
        ],
        failure_policy: CLOSED.to_owned(),
        provider_profiles: false,
        expected_audience: audience(of, &of.0.config.interceptor_audience),
    }
}

/// Without tokens there is no audience to compare.
fn audience(of: &OpenShell, configured: &str) -> String {
    of.keys().map(|_| configured.to_owned()).unwrap_or_default()
}

fn binding(id: &str, method: &str, phase: Phase, failure_policy: &str) -> InterceptorBinding {
    InterceptorBinding {
        id: id.to_owned(),
        selector: Some(InterceptorSelector { rpc: format!("{SERVICE}/{method}") }),
        phases: vec![phase.into()],
        failure_policy: failure_policy.to_owned(),
    }
}
