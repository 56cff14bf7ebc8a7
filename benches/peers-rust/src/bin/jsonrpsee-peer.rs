//! Crate `jsonrpsee` for the comparison: `echo` as a method, a channel as a
//! subscription, `publish` to feed it. Prints `listening PORT`.

use std::{error::Error, net::Ipv4Addr, sync::Arc};

use jsonrpsee::{
    RpcModule,
    core::{RegisterMethodError, SubscriptionResult},
    server::{Server, ServerConfig},
    types::ErrorObjectOwned,
};
use serde_json::value::RawValue;
use tokio::sync::broadcast::{self, error::RecvError};

type Publications = broadcast::Sender<Arc<RawValue>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = ServerConfig::builder().max_connections(u32::MAX >> 8).set_tcp_no_delay(true).build();
    let server = Server::builder().set_config(config).build((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("listening {}", server.local_addr()?.port());
    server.start(methods()?).stopped().await;
    Ok(())
}

fn methods() -> Result<RpcModule<Publications>, RegisterMethodError> {
    let (publications, _) = broadcast::channel::<Arc<RawValue>>(1024);
    let mut module = RpcModule::new(publications);
    module.register_method("echo", |params, _, _| params.one::<String>())?;
    module.register_method("publish", |params, publications, _| {
        let (_channel, data): (&str, Box<RawValue>) = params.parse()?;
        // Nobody following is no error of the publisher's.
        let _ = publications.send(data.into());
        Ok::<_, ErrorObjectOwned>(true)
    })?;
    module.register_subscription(
        "subscribe",
        "message",
        "unsubscribe",
        |_params, pending, publications, _| async move {
            let mut publications = publications.subscribe();
            let sink = pending.accept().await?;
            loop {
                let data = match publications.recv().await {
                    Ok(data) => data,
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => break,
                };
                if sink.send(RawValue::to_owned(&data)).await.is_err() {
                    break;
                }
            }
            SubscriptionResult::Ok(())
        },
    )?;
    Ok(module)
}
