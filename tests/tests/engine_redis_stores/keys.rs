//! Messages with a key, sent again over connections that are lost.

use tokensocket_server::{DeviceStore, Message, Timestamp, To};
use tokensocket_tests::engine::Redis as Engine;

use crate::node::{Node, message};

#[tokio::test]
async fn what_is_sent_again_with_its_key_over_lost_connections_is_kept_once() {
    const COUNT: usize = 300;
    let engine = Engine::start().await;
    let (one, two) = (Node::new(&engine.url(), "keys").await, Node::new(&engine.url(), "keys").await);
    one.arrive("ann", "phone").await;
    let send = async |node: &Node, name: &str| {
        for n in 0..COUNT {
            let key = Some(format!("{name}{n}").into());
            let keyed = Message { key, ..message(&format!("[\"{name}\",{n}]")) };
            let sending = async {
                while node.store.append(To::room("staff"), keyed.clone(), Timestamp::now()).await.is_err() {
                    tokio::task::yield_now().await;
                }
            };
            // One who cuts would cut another off.
            if name == "one" && n % 8 == 0 {
                let cutting = engine.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
                tokio::join!(sending, cutting);
            } else {
                sending.await;
            }
        }
    };
    tokio::join!(send(&one, "one"), send(&two, "two"));
    // No connection of its own was cut.
    let held = Node::new(&engine.url(), "keys").await.held("ann", "phone").await;
    assert_eq!(held.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), (1..=600).collect::<Vec<_>>());
    for name in ["one", "two"] {
        let own: Vec<&str> =
            held.iter().map(|(_, args)| &**args).filter(|args| args.contains(name)).collect();
        let sent: Vec<String> = (0..COUNT).map(|n| format!("[\"{name}\",{n}]")).collect();
        assert_eq!(own, sent);
    }
}
