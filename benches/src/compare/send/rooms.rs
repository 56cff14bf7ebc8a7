//! The site behind both servers: whose token it is, and the rooms of that user.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use serde_json::json;

use crate::workload::send::EVERYONE;

/// Answers whoever asks for rooms: `user_` and the token, and everybody's. For as long as this process lives. Gives the
/// port.
pub(super) fn serve() -> std::io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || answer(stream));
        }
    });
    Ok(port)
}

/// Answers on one connection until it ends.
fn answer(stream: TcpStream) -> Option<()> {
    let mut answers = stream.try_clone().ok()?;
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    loop {
        let mut token = None;
        loop {
            let line = lines.next()?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("authorization")
            {
                token = value.rsplit(' ').next().map(str::to_owned);
            }
        }
        let body = json!([format!("user_{}", token?), EVERYONE]).to_string();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
        answers.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).ok()?;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's result")]

    use std::io::Read;

    use super::*;

    #[test]
    fn answers_with_the_rooms_of_a_token() {
        let mut stream = TcpStream::connect(("127.0.0.1", serve().unwrap())).unwrap();
        let request = "GET /socketrooms HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer bench-7\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with(r#"["user_bench-7","everyone"]"#), "{answer}");
    }
}
