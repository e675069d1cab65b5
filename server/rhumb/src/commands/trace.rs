//! `rhumb trace`: a recorded chain as a tree, and as a page.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use rhumb_proto::json;
use rhumb_proto::v1::ledger_service_client::LedgerServiceClient;
use rhumb_proto::v1::{ChainTrace, TraceChainRequest};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::cli::{TraceArgs, TraceSource};
use crate::client;
use crate::commands::ledger::ledger_folder;
use crate::failure::Failure;
use crate::lines;
use crate::trace::{page, text, tree};

/// Columns where nobody says how many there are.
const COLUMNS: usize = 100;
/// A trace that is read from a file is no longer than this.
const INPUT_BYTES: u64 = 512 * 1024 * 1024;
/// Decisions of one trace at most; the newest are shown.
const TRACED: usize = 4096;
/// Columns of a chain's name in complaints.
const NAME: usize = 80;

/// Prints a chain.
pub async fn run(args: TraceArgs) -> Result<ExitCode, Failure> {
    check(&args)?;
    let trace = find(args.chain.as_deref(), &args.source).await?;
    let page_alone = args.html.as_deref().is_some_and(lines::is_stream);
    if let Some(path) = &args.html {
        write_page(&trace, path)?;
    }
    match (page_alone, args.json) {
        (true, _) => {}
        (_, true) => {
            anstream::println!("{}", page::inert(&serde_json::to_string(&trace).map_err(Failure::check)?))
        }
        (_, false) => anstream::print!("{}", tree::tree(&trace, columns())),
    }
    Ok(ExitCode::SUCCESS)
}

fn check(args: &TraceArgs) -> Result<(), Failure> {
    let Some(html) = &args.html else { return Ok(()) };
    if args.json && lines::is_stream(html) {
        return Err(Failure::input("--html -: the page and --json cannot both go to standard output"));
    }
    args.source.input.as_ref().map_or(Ok(()), |input| lines::check_not_same(input, html))
}

async fn find(chain: Option<&str>, source: &TraceSource) -> Result<ChainTrace, Failure> {
    match (source, chain) {
        (TraceSource { input: Some(path), .. }, chain) => from_file(path, chain),
        (TraceSource { server: Some(url), .. }, Some(chain)) => from_server(url, chain).await,
        (TraceSource { config: None, path: None, .. }, Some(chain)) => from_here(client::LOCAL, chain).await,
        (TraceSource { config, path, .. }, Some(chain)) => {
            from_ledger(config.as_deref(), path.as_deref(), chain)
        }
        (_, None) => Err(Failure::input("CHAIN is missing")),
    }
}

fn from_file(path: &Path, chain: Option<&str>) -> Result<ChainTrace, Failure> {
    let name = lines::name(path);
    let mut text = String::new();
    let mut reader = lines::open(path)?.take(INPUT_BYTES + 1);
    reader.read_to_string(&mut text).map_err(|e| Failure::input(format!("{name}: {e}")))?;
    if text.len() as u64 > INPUT_BYTES {
        return Err(Failure::input(format!("{name}: longer than {INPUT_BYTES} bytes")));
    }
    let complaint =
        |e: json::JsonError| Failure::input(format!("{name}: {}", text::clean(&e.to_string(), 300)));
    let trace: ChainTrace = json::parse(&text).map_err(complaint)?;
    match chain {
        Some(chain) if chain != trace.chain_id => {
            let held = text::clean(&trace.chain_id, NAME);
            Err(Failure::check(format!("{name}: holds chain {held:?}, not {:?}", text::clean(chain, NAME))))
        }
        _ => Ok(trace),
    }
}

async fn from_server(url: &str, chain: &str) -> Result<ChainTrace, Failure> {
    ask(client::connect(url).await?, url, chain).await
}

/// From the server that nobody named; if there is none, another source may have been meant.
async fn from_here(url: &str, chain: &str) -> Result<ChainTrace, Failure> {
    let hint = "name another server with --server, or read a ledger with --path or --config";
    let channel =
        client::connect(url).await.map_err(|failure| Failure::input(format!("{failure}; {hint}")))?;
    ask(channel, url, chain).await
}

async fn ask(channel: Channel, url: &str, chain: &str) -> Result<ChainTrace, Failure> {
    // A chain of a thousand hops with its evidence is larger than the default of 4 MiB.
    let client = LedgerServiceClient::new(channel).max_decoding_message_size(usize::MAX);
    let request = TraceChainRequest { chain_id: chain.to_owned() };
    let answer = { client }.trace_chain(request).await;
    answer.map(tonic::Response::into_inner).map_err(|status| refused(url, chain, &status))
}

fn refused(url: &str, chain: &str, status: &Status) -> Failure {
    let chain = text::clean(chain, NAME);
    match status.code() {
        Code::NotFound => Failure::check(format!("chain {chain:?} is not in the ledger of {url}")),
        Code::Unimplemented => Failure::check(format!("{url} keeps no ledger")),
        Code::InvalidArgument => {
            Failure::input(format!("chain {chain:?}: {}", text::clean(status.message(), 300)))
        }
        code => Failure::check(format!("{url}: {code}: {}", text::clean(status.message(), 300))),
    }
}

/// Reads the ledger in a folder, or in that which a configuration names.
fn from_ledger(config: Option<&Path>, path: Option<&Path>, chain: &str) -> Result<ChainTrace, Failure> {
    let folder = ledger_folder(config, path)?;
    let trace = folder.trace(chain, TRACED).map_err(Failure::check)?;
    let unknown = || {
        let chain = text::clean(chain, NAME);
        Failure::check(format!("chain {chain:?} is not in the ledger {}", folder.root().display()))
    };
    trace.ok_or_else(unknown)
}

fn write_page(trace: &ChainTrace, path: &Path) -> Result<(), Failure> {
    let page = page::page(trace).map_err(Failure::check)?;
    let mut file = lines::create(path)?;
    file.write_all(page.as_bytes()).and_then(|()| file.flush()).map_err(Failure::io(path.display()))
}

/// The width of the terminal that standard output is.
fn columns() -> usize {
    terminal_size::terminal_size_of(std::io::stdout()).map_or(COLUMNS, |(width, _)| usize::from(width.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::sample::{chain, decision};
    use clap::Parser as _;
    use rhumb_proto::v1::ledger_service_server::{LedgerService, LedgerServiceServer};
    use rhumb_proto::v1::{Decision, GetDecisionRequest, VerifyLedgerRequest, VerifyLedgerResponse};
    use tokio_stream::wrappers::TcpListenerStream;
    use tonic::{Request, Response};

    /// Knows the chain `c`.
    struct Ledger;

    #[tonic::async_trait]
    impl LedgerService for Ledger {
        async fn trace_chain(
            &self,
            request: Request<TraceChainRequest>,
        ) -> Result<Response<ChainTrace>, Status> {
            match request.get_ref().chain_id.as_str() {
                "c" => Ok(Response::new(chain(vec![decision(1, "a", "u", 0.1)]))),
                "" => Err(Status::invalid_argument("chain_id is missing")),
                _ => Err(Status::not_found("no")),
            }
        }

        async fn get_decision(&self, _: Request<GetDecisionRequest>) -> Result<Response<Decision>, Status> {
            Err(Status::unimplemented(""))
        }

        async fn verify_ledger(
            &self,
            _: Request<VerifyLedgerRequest>,
        ) -> Result<Response<VerifyLedgerResponse>, Status> {
            Err(Status::unimplemented(""))
        }
    }

    async fn server() -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder().add_service(LedgerServiceServer::new(Ledger));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        url
    }

    #[tokio::test]
    async fn where_nothing_is_said_the_server_of_this_machine_is_asked() {
        let args = |args: &[&str]| match crate::cli::Cli::try_parse_from([&["rhumb", "trace"], args].concat())
        {
            Ok(crate::cli::Cli { command: crate::cli::Command::Trace(args), .. }) => Ok(args),
            other => Err(format!("{other:?}")),
        };
        let alone = args(&["c"]).unwrap();
        assert!(alone.source.server.is_none() && alone.source.path.is_none());
        assert!(args(&[]).is_err() && args(&["c", "--server", "x", "--path", "y"]).is_err());
        assert_eq!(client::LOCAL, format!("http://{}", crate::config::Config::default().server.listen));
        assert_eq!(from_here(&server().await, "c").await.unwrap().decisions.len(), 1);
        let nobody = from_here("http://127.0.0.1:1", "c").await.unwrap_err();
        assert_eq!(nobody.exit_code(), ExitCode::from(2));
        assert!(nobody.to_string().contains("--path"), "{nobody}");
    }

    #[tokio::test]
    async fn a_server_gives_the_trace_or_says_why_not() {
        let url = server().await;
        assert_eq!(from_server(&url, "c").await.unwrap().decisions.len(), 1);
        let unknown = from_server(&url, "x\u{1b}[2J").await.unwrap_err();
        assert_eq!(unknown.exit_code(), ExitCode::from(1));
        assert!(
            unknown.to_string().contains("is not in the ledger") && !unknown.to_string().contains('\u{1b}')
        );
        assert_eq!(from_server(&url, "").await.unwrap_err().exit_code(), ExitCode::from(2));
    }
}
