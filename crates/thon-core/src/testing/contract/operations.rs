//! The contract of [`OperationStore`].

use crate::adapter::Failure;
use crate::name::UserId;
use crate::operation::{
    Operation, OperationId, OperationState, OperationStore, Outcome, Task, TaskKind, UserResult,
};
use crate::state::{Actor, StateStore};

fn ok<T>(result: Result<T, Failure>) -> T {
    match result {
        Ok(value) => value,
        Err(failure) => panic!("{failure}"),
    }
}

fn ids(operations: &[Operation]) -> Vec<u64> {
    operations.iter().map(|operation| operation.id.0).collect()
}

/// Runs the contract against a store in which no operation is.
pub async fn operations<S: OperationStore + StateStore>(store: &S) {
    let actor = Actor::new("test");
    let user = |text: &str| -> UserId {
        match text.parse() {
            Ok(user) => user,
            Err(error) => panic!("{error}"),
        }
    };
    let task = Task::relocation(user("alpha/ada"), user("alpha/eve"));
    let proxy = Task::new(TaskKind::SyncProxy, Vec::new());
    let first = ok(store.queue(&actor, &task).await);
    assert_eq!((first.state, first.actor.as_str()), (OperationState::Queued, "test"));
    assert_eq!((&first.task, first.started_at, first.ended_at), (&task, None, None));
    let second = ok(store.queue(&actor, &proxy).await);
    assert_eq!(ids(&ok(store.unfinished().await)), [first.id.0, second.id.0], "in their order");

    let running = ok(store.start(first.id).await);
    assert_eq!(running.state, OperationState::Running);
    assert!(running.started_at.is_some());
    let failed = UserResult {
        user: task.users[0].clone(),
        ok: false,
        detail: Some("it is down".to_owned()),
    };
    let outcome = Outcome { results: vec![failed], problem: None };
    let ended = ok(store.finish(first.id, outcome.state(), &outcome).await);
    assert_eq!((ended.state, &ended.outcome), (OperationState::Failed, &outcome));
    assert!(ended.ended_at.is_some());
    assert_eq!(ok(store.operation(first.id).await), Some(ended));
    assert_eq!(ok(store.operation(OperationId(99)).await), None);

    // What is over stays so.
    assert!(store.start(first.id).await.is_err());
    assert!(store.finish(first.id, OperationState::Succeeded, &outcome).await.is_err());
    assert!(store.start(OperationId(99)).await.is_err());

    ok(store.finish(second.id, OperationState::Interrupted, &Outcome::default()).await);
    assert_eq!(ok(store.unfinished().await), []);
    assert_eq!(ids(&ok(store.operations(9).await)), [second.id.0, first.id.0], "the latest first");
    assert_eq!(ids(&ok(store.operations(1).await)), [second.id.0]);

    let log = ok(store.audit(2).await);
    assert_eq!((log[0].action.as_str(), log[0].result.as_str()), ("sync_proxy", "interrupted"));
    let told = (log[1].action.as_str(), log[1].subject.as_str());
    assert_eq!(told, ("move", "alpha/ada to alpha/eve"));
    assert!(log[1].result.contains("it is down"), "{}", log[1].result);
}
