//! The application's actions.

use std::sync::Arc;
use std::time::Duration;

use tokensocket_server::{Actions, Data, RpcError};
use tokio::time::sleep;

use super::Life;
use crate::world::World;

/// `echo`, `slow` and `fail`, each of which is called with a number.
pub(super) fn actions(world: &Arc<World>, life: &Life) -> Actions {
    let ran = {
        let (world, life) = (Arc::clone(world), life.clone());
        move |number| {
            if !life.is_over() {
                world.ledger.lock().ran(number);
            }
        }
    };
    let (echo, slow, fail) = (ran.clone(), ran.clone(), ran);
    Actions::new()
        .action("echo", move |Data(number): Data<u64>| {
            echo(number);
            async move { Ok::<_, RpcError>(number) }
        })
        .action("slow", move |Data(number): Data<u64>| {
            slow(number);
            async move {
                sleep(Duration::from_millis(number * 37 % 3000)).await;
                Ok::<_, RpcError>(number)
            }
        })
        .action("fail", move |Data(number): Data<u64>| {
            fail(number);
            async move { Err::<(), _>(RpcError::text("as asked")) }
        })
}
