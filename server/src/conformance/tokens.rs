//! What every [`TokenStore`] owes, as tests.
//!
//! In: a way to make stores, each empty. Out: a panic that names the duty that is not done.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokensocket_protocol::Token;

use crate::identity::Identity;
use crate::token::{TokenStore, TokenStoreError};

const TTL: Duration = Duration::from_secs(30);
/// A time to live that a test can wait for.
const SHORT: Duration = Duration::from_millis(200);
/// So many tokens a store may have that is to become full.
const FEW: usize = 32;

/// Runs the whole suite, on a tokio runtime of several threads. `make` gives an empty store for at least so many tokens,
/// and not many more.
///
/// # Panics
///
/// When the store does not do one of its duties.
pub async fn tokens<S: TokenStore>(make: impl Fn(usize) -> S) {
    an_identity_is_given_once_and_whole(&make(1000)).await;
    a_guess_does_not_spend_the_token(&make(1000)).await;
    a_token_is_gone_after_its_time(&make(1000)).await;
    what_is_too_much_is_refused_until_there_is_room(&make(FEW)).await;
    let store = Arc::new(make(1000));
    one_of_many_redeems(&[Arc::clone(&store), store]).await;
}

/// The same for an engine that several nodes share: `make` gives two stores with the same tokens, of which there are none.
///
/// # Panics
///
/// When the stores do not do one of their duties.
pub async fn tokens_shared<S: TokenStore>(make: impl Fn(usize) -> [S; 2]) {
    let stores = make(1000).map(Arc::new);
    one_of_many_redeems(&stores).await;
    let [one, other] = stores;
    one.issue(token(9000), Identity::new("ann"), TTL).await.unwrap();
    let identity = other.redeem(token(9000)).await.unwrap();
    assert_eq!(
        identity.unwrap().parse::<String>().unwrap(),
        "ann",
        "a token of one node is good on the other"
    );
    assert!(one.redeem(token(9000)).await.unwrap().is_none(), "and then on none");
}

/// A token of its own for each number, in both halves.
fn token(number: u32) -> Token {
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
    bytes[12..].copy_from_slice(&number.to_be_bytes());
    Token::from_random(bytes)
}

async fn an_identity_is_given_once_and_whole(store: &impl TokenStore) {
    let ann = Identity::new(["data"]).user("8").rooms(["a", "b"]).public("Ann");
    let guest = Identity::new(serde_json::json!({"é": 1.5})).user("guest").passing();
    let all = [ann, guest, Identity::anonymous()];
    for (number, identity) in (0..).zip(&all) {
        store.issue(token(number), identity.clone(), TTL).await.unwrap();
    }
    for (number, identity) in (0..).zip(&all) {
        let redeemed = store.redeem(token(number)).await.unwrap().unwrap();
        assert_eq!(redeemed.data(), identity.data());
        assert_eq!(redeemed.user_id(), identity.user_id());
        assert_eq!(redeemed.room_names(), identity.room_names());
        assert_eq!(redeemed.public_part(), identity.public_part());
        assert_eq!(redeemed.is_passing(), identity.is_passing());
        assert!(store.redeem(token(number)).await.unwrap().is_none(), "a token is good once");
    }
    assert!(store.redeem(token(99)).await.unwrap().is_none(), "one that nobody issued never is");
}

async fn a_guess_does_not_spend_the_token(store: &impl TokenStore) {
    store.issue(Token::from_random([1; 16]), Identity::anonymous(), TTL).await.unwrap();
    let mut guess = [1; 16];
    guess[15] = 2;
    assert!(store.redeem(Token::from_random(guess)).await.unwrap().is_none());
    assert!(store.redeem(Token::from_random([1; 16])).await.unwrap().is_some(), "it is good still");
}

async fn a_token_is_gone_after_its_time(store: &impl TokenStore) {
    store.issue(token(1), Identity::anonymous(), SHORT).await.unwrap();
    store.issue(token(2), Identity::anonymous(), TTL).await.unwrap();
    tokio::time::sleep(SHORT + SHORT / 4).await;
    assert!(store.redeem(token(1)).await.unwrap().is_none(), "its time is over");
    assert!(store.redeem(token(2)).await.unwrap().is_some(), "that of another is not");
}

async fn what_is_too_much_is_refused_until_there_is_room(store: &impl TokenStore) {
    let fill = async |from: u32| {
        let mut issued = 0;
        for number in from..from + 20 * u32::try_from(FEW).unwrap() {
            match store.issue(token(number), Identity::anonymous(), 5 * SHORT).await {
                Ok(()) => issued += 1,
                Err(TokenStoreError::Full) => {}
                Err(error) => panic!("a full store says that it is full: {error}"),
            }
        }
        issued
    };
    let issued = fill(0).await;
    assert!((FEW..=4 * FEW).contains(&issued), "{issued} tokens were issued where {FEW} may be");
    tokio::time::sleep(6 * SHORT).await;
    let again = fill(100_000).await;
    assert!(again >= FEW, "there is room again when their time is over, but for {again}");
}

async fn one_of_many_redeems<S: TokenStore>(stores: &[Arc<S>; 2]) {
    for number in 1000..1050 {
        stores[0].issue(token(number), Identity::new(number), TTL).await.unwrap();
        let redeeming = (0..8).map(|n: usize| {
            let store = Arc::clone(&stores[n % 2]);
            tokio::spawn(async move { store.redeem(token(number)).await })
        });
        let redeemed = join_all(redeeming).await;
        let winners = redeemed.into_iter().filter(|outcome| matches!(outcome, Ok(Ok(Some(_))))).count();
        assert_eq!(winners, 1, "a token is good for one of those who try at the same time");
    }
}

#[cfg(test)]
mod tests {
    use crate::token::MemoryTokenStore;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn the_memory_store_does_its_duties() {
        super::tokens(MemoryTokenStore::new).await;
    }
}
