//! Lets calls in: one layer before all services.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{Either, Ready, ready};
use rhumb_gateway::callers::{Callers, NotLetIn, Role, bearer};
use rhumb_gateway::errors;
use tonic::codegen::http::{Request, Response};
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tower::{Layer, Service};

/// Adds [`AuthService`].
#[derive(Debug, Clone)]
pub struct AuthLayer {
    /// Who may call.
    pub callers: Arc<Callers>,
    /// Whether OpenShell's two services check tokens of its gateway themselves. No caller of ours has one.
    pub openshell_has_keys: bool,
}

impl<S> Layer<S> for AuthLayer {
    type Service = AuthService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthService { inner, layer: self.clone() }
    }
}

/// Answers UNAUTHENTICATED or PERMISSION_DENIED to whom it does not let in.
#[derive(Debug, Clone)]
pub struct AuthService<S> {
    inner: S,
    layer: AuthLayer,
}

impl<S, Req, Res> Service<Request<Req>> for AuthService<S>
where
    S: Service<Request<Req>, Response = Response<Res>>,
    Res: Default,
{
    type Response = Response<Res>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Self::Response, Self::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Req>) -> Self::Future {
        let Needed::Caller(role) = self.layer.needed(request.uri().path()) else {
            return Either::Left(self.inner.call(request));
        };
        let certificates =
            request.extensions().get::<TlsConnectInfo<TcpConnectInfo>>().and_then(|i| i.peer_certs());
        let certificate = certificates.as_ref().and_then(|all| all.first()).map(AsRef::as_ref);
        match self.layer.callers.identify(bearer(request.headers()), certificate, role) {
            Ok(Some(identity)) => {
                request.extensions_mut().insert(identity);
                Either::Left(self.inner.call(request))
            }
            Ok(None) => Either::Left(self.inner.call(request)),
            Err(why) => Either::Right(ready(Ok(refusal(why).into_http()))),
        }
    }
}

fn refusal(why: NotLetIn) -> tonic::Status {
    match why {
        NotLetIn::Unknown => errors::unauthenticated(&why.to_string()),
        NotLetIn::Forbidden => errors::forbidden(&why.to_string()),
    }
}

/// What a call needs.
#[derive(Debug, PartialEq, Eq)]
enum Needed {
    /// Health checks come from orchestrators, the descriptors are public, and some services ask for themselves.
    Nobody,
    /// A caller, with this role if there is one.
    Caller(Option<Role>),
}

impl AuthLayer {
    fn needed(&self, path: &str) -> Needed {
        let (service, _) = split(path);
        match OPENSHELL.contains(&service) && self.openshell_has_keys {
            true => Needed::Nobody,
            false => needed(path),
        }
    }
}

const OPENSHELL: [&str; 2] =
    ["openshell.middleware.v1.SupervisorMiddleware", "openshell.gateway_interceptor.v1.GatewayInterceptor"];

fn split(path: &str) -> (&str, &str) {
    path.trim_start_matches('/').split_once('/').unwrap_or((path, ""))
}

/// What the method at `path` needs. A service that is not known here is for nobody with a role only: it has to be added.
fn needed(path: &str) -> Needed {
    Needed::Caller(Some(match split(path) {
        ("grpc.health.v1.Health" | "grpc.reflection.v1.ServerReflection", _) => return Needed::Nobody,
        ("rhumb.v1.IntentService", "GetKeys") => return Needed::Caller(None),
        ("rhumb.v1.IntentService", "AmendIntent" | "RevokeIntent") => Role::Amend,
        ("rhumb.v1.IntentService", _) => Role::Intents,
        ("rhumb.v1.LedgerService", _) => Role::Audit,
        // It ties sandboxes to intents.
        ("openshell.gateway_interceptor.v1.GatewayInterceptor", _) => Role::Intents,
        _ => Role::Score,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_needs_its_role() {
        let role = |path| match needed(path) {
            Needed::Caller(role) => role,
            Needed::Nobody => panic!("{path}"),
        };
        assert_eq!(needed("/grpc.health.v1.Health/Check"), Needed::Nobody);
        assert_eq!(role("/rhumb.v1.DriftService/Score"), Some(Role::Score));
        assert_eq!(role("/rhumb.v1.IntentService/BindIntent"), Some(Role::Intents));
        assert_eq!(role("/rhumb.v1.IntentService/RevokeIntent"), Some(Role::Amend));
        assert_eq!(role("/rhumb.v1.IntentService/GetKeys"), None);
        assert_eq!(role("/rhumb.v1.LedgerService/TraceChain"), Some(Role::Audit));
    }

    #[test]
    fn openshell_asks_for_itself_where_it_has_keys_and_nobody_else_does() {
        let layer = |openshell_has_keys| AuthLayer { callers: Arc::default(), openshell_has_keys };
        let (middleware, interceptor) = (OPENSHELL[0], OPENSHELL[1]);
        for service in OPENSHELL {
            assert_eq!(layer(true).needed(&format!("/{service}/Describe")), Needed::Nobody);
        }
        let needs = |service: &str| layer(false).needed(&format!("/{service}/Describe"));
        assert_eq!(needs(middleware), Needed::Caller(Some(Role::Score)));
        assert_eq!(needs(interceptor), Needed::Caller(Some(Role::Intents)));
        for path in
            ["/rhumb.v1.IntentService/GetKeys", "/rhumb.v1.DriftService/Score", "/openshell.x/Describe"]
        {
            assert_eq!(layer(true).needed(path), needed(path), "{path}");
        }
        let beside = format!("/x/{middleware}/Describe");
        assert_eq!(layer(true).needed(&beside), Needed::Caller(Some(Role::Score)));
    }
}
