//! Trying again: what failed may do better a little later, as long as there is time.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use tokio::time::Instant;

use crate::{Error, Result};

/// How often a request is tried again where nothing else is said.
pub(crate) const RETRIES: u32 = 4;

/// However many retries there are, nothing new is begun after this time, or after three timeouts if that is longer.
const LONGEST_OPERATION: Duration = Duration::from_secs(30);

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Until when requests with this timeout are tried again.
pub(crate) fn deadline(timeout: Duration) -> Instant {
    Instant::now() + LONGEST_OPERATION.max(timeout * 3)
}

/// Attempts something until it succeeds, or there is no hope, or no time; after that many retries it gives up as well.
pub(crate) async fn retry<T, F>(times: u32, deadline: Instant, attempt: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let pauses = ExponentialBuilder::new()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_max_times(times as usize)
        .with_jitter()
        // Without a seed every process would have the same jitter, which is none.
        .with_jitter_seed(rand::random());
    attempt
        .retry(pauses)
        .when(is_transient)
        .adjust(|error, pause| {
            // Not before the server wants it; and not at all when that is too late for us.
            let pause = pause?.max(error.retry_after().unwrap_or_default());
            (Instant::now() + pause < deadline).then_some(pause)
        })
        .notify(|error, pause| tracing::debug!("{error}; trying again in {} ms", pause.as_millis()))
        .await
}

/// Whether the same request may do better a little later. A Consul agent without a leader answers 500.
const fn is_transient(error: &Error) -> bool {
    match error {
        Error::Timeout { .. } | Error::Connect { .. } => true,
        Error::Http { status, .. } => matches!(*status, 429 | 500 | 502 | 503 | 504),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn refusal(status: u16, retry_after: Option<Duration>) -> Error {
        Error::Http {
            method: "GET",
            url: "http://h/".into(),
            status,
            reason: "",
            body: String::new(),
            retry_after,
        }
    }

    /// How often something that always fails so is attempted, and how long that takes.
    async fn attempts(times: u32, within: Duration, status: u16, after: Option<u64>) -> (u32, Duration) {
        let (begun, count) = (Instant::now(), Cell::new(0));
        let result: Result<()> = retry(times, begun + within, async || {
            count.set(count.get() + 1);
            Err(refusal(status, after.map(Duration::from_secs)))
        })
        .await;
        assert!(matches!(result, Err(Error::Http { status: told, .. }) if told == status));
        (count.get(), begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_do_better_is_tried_again_while_there_is_time() {
        let long = Duration::from_secs(3600);
        for status in [429, 500, 502, 503, 504] {
            assert_eq!(attempts(RETRIES, long, status, None).await.0, 5);
        }
        for status in [400, 401, 403, 404, 409, 422, 501] {
            assert_eq!(attempts(RETRIES, long, status, None).await, (1, Duration::ZERO));
        }
        assert_eq!(attempts(0, long, 500, None).await.0, 1);
        // As long as the server wants, unless that is too late.
        let (count, took) = attempts(2, long, 429, Some(60)).await;
        assert_eq!((count, took.as_secs()), (3, 120));
        assert_eq!(
            attempts(RETRIES, Duration::from_secs(59), 429, Some(60)).await,
            (1, Duration::ZERO)
        );
        let (_, took) = attempts(1000, Duration::from_secs(30), 500, None).await;
        assert!(took < Duration::from_secs(30), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_operation_has_time_for_three_timeouts() {
        let left = |timeout| deadline(Duration::from_secs(timeout)) - Instant::now();
        assert_eq!((left(1).as_secs(), left(60).as_secs()), (30, 180));
    }
}
