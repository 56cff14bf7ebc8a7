//! What a service manager and the program tell each other.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::program::{Gateway, Program};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts the program as a service manager does that holds the listener.
async fn activated(listener: &TcpListener, variables: &[(&str, &str)]) -> Gateway {
    let line = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" serve --in-memory 3<&0 </dev/null";
    let held: OwnedFd = listener.try_clone().unwrap().into();
    Gateway::of(Program::start_at(line, variables, held)).await
}

#[tokio::test]
async fn serves_where_the_service_manager_listens_also_when_started_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let gateway = activated(&listener, &[]).await;
    assert_eq!(gateway.url, address);
    assert_eq!(gateway.run(&["call", "echo", "1"]).await.out, "1\n");
    let mut follower = gateway.start_command(&["sub", "news", "--count", "1"]);
    follower.complains("following news").await;
    gateway.program.signal(Signal::SIGTERM);
    assert_eq!(gateway.program.ended().await.status, 0);
    follower.complains("1012").await;

    // Nobody serves now, and who connects is not refused: it waits for who comes next.
    let waiting = Program::start(&["call", "echo", "2", "--url", &address, "--timeout", "20s"]);
    let gateway = activated(&listener, &[]).await;
    let ended = waiting.ended().await;
    assert_eq!((ended.status, ended.out.as_str()), (0, "2\n"), "{ended:?}");
    follower.complains("connected again").await;
    gateway.run(&["pub", "news", "3"]).await;
    assert_eq!(follower.ended().await.out, "news\t3\n");
}

#[tokio::test]
async fn tells_the_service_manager_when_it_serves_and_when_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let told = UnixDatagram::bind(&path).unwrap();
    told.set_read_timeout(Some(PATIENCE)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = activated(&listener, &[("NOTIFY_SOCKET", path.to_str().unwrap())]).await;
    assert_eq!(next(&told), "READY=1");
    gateway.program.signal(Signal::SIGTERM);
    assert_eq!(gateway.program.ended().await.status, 0);
    assert_eq!(next(&told), "STOPPING=1");
}

fn next(told: &UnixDatagram) -> String {
    let mut text = [0; 256];
    let length = told.recv(&mut text).unwrap();
    String::from_utf8(text[..length].to_vec()).unwrap().trim().to_owned()
}

#[tokio::test]
async fn what_is_passed_on_must_be_a_tcp_listener() {
    let folder = tempfile::tempdir().unwrap();
    let socket = UnixDatagram::bind(folder.path().join("none")).unwrap();
    let line = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" serve --in-memory 3<&0 </dev/null";
    let ended = Program::start_at(line, &[], OwnedFd::from(socket)).ended().await;
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.err.contains("no TCP listener"), "{ended:?}");
    assert!(ended.err.contains("ListenStream"), "{ended:?}");
}
