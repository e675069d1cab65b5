//! agentgateway's `ExtMcp`: MCP requests that it asks about, and lists of tools that it shows.
//!
//! A refusal stands in the payload: a gRPC error is a failure of ours, and the gateway's `failureMode` decides then.

mod answer;
mod asking;
mod listed;

use rhumb_engine::Lane;
use rhumb_proto::agentgateway::ext_mcp_server::ExtMcp;
use rhumb_proto::agentgateway::{
    McpRequest, McpRequestResult, McpResponse, McpResponseResult, Pass, mcp_response_result,
};
use tonic::{Request, Response, Status};

use crate::caller::Caller;
use crate::convert::Unread;
use crate::errors;
use crate::front::Front;
use crate::point;
use crate::surface::Surface;

/// What the gateway may send, bytes: it has no limit of its own.
pub const MESSAGE_BYTES: usize = 16 << 20;
/// Parameters of a request, bytes; beyond, the request counts as unreadable.
const PARAMS_BYTES: usize = 4 << 20;
/// Methods whose requests are asked about; lists and the rest pass.
const ASKED: [&str; 3] = ["tools/call", "resources/read", "prompts/get"];

/// The service.
#[derive(Clone)]
pub struct ExtMcpApi(Front);

impl ExtMcpApi {
    /// On what decides.
    pub fn new(front: Front) -> Self {
        Self(front)
    }
}

#[tonic::async_trait]
impl ExtMcp for ExtMcpApi {
    async fn check_request(
        &self,
        request: Request<McpRequest>,
    ) -> Result<Response<McpRequestResult>, Status> {
        let deadline = self.0.deadline(request.extensions());
        let caller = Caller::of(&request, Lane::Enforcement)?;
        let request = request.into_inner();
        if !ASKED.contains(&request.method.as_str()) {
            return Ok(Response::new(answer::pass()));
        }
        let known = asking::Known::of(&request)?;
        let caller = known.caller(Caller { surface: Surface::AgentGateway, ..caller })?;
        let decider = self.0.decider()?;
        if request.mcp_request.as_ref().is_some_and(|params| params.len() > PARAMS_BYTES) {
            let why = Unread::unparsable(format!("the parameters have more than {PARAMS_BYTES} bytes"));
            let asked = known.unread(&request);
            let response =
                decider.refuse_unread(asked, &why, &caller).await.map_err(|e| errors::status(&e))?;
            return Ok(Response::new(answer::of(&response)));
        }
        let body = asking::body(&request);
        let headers = asking::headers(&request, &body);
        let asking = known.asking(&request, &headers, &body);
        let answered = point::ask(&decider, asking, &caller, deadline).await;
        let answered = answered.map_err(|e| errors::status(&e))?;
        self.0.unscored().count(Surface::AgentGateway, &answered);
        let told = answered.stopped().or_else(|| answered.told());
        Ok(Response::new(told.map_or_else(answer::pass, answer::of)))
    }

    async fn check_response(
        &self,
        request: Request<McpResponse>,
    ) -> Result<Response<McpResponseResult>, Status> {
        let caller = Caller::of(&request, Lane::Enforcement)?;
        let response = request.into_inner();
        if response.method == "tools/list" {
            let known = asking::Known::of_context(response.metadata_context.as_ref())?;
            let caller = known.caller(Caller { surface: Surface::AgentGateway, ..caller })?;
            let decider = self.0.decider()?;
            for (server, tools) in listed::tools(&response) {
                let shown = decider.show_tools(&caller, &server, tools).await;
                shown.map_err(|e| errors::status(&e))?;
            }
        }
        // A response is never refused: the drift of a result is not defined.
        let result = Some(mcp_response_result::Result::Pass(Pass {}));
        Ok(Response::new(McpResponseResult { result }))
    }
}
