//! The contract of `Platform`, asked of every platform: of `local` on this machine, and of `kubernetes` on a real
//! cluster.
//!
//! The cases are written once, against the trait, with a toy engine of small Python programs (see [`toy`]). What the
//! contract leaves to a platform stands in its documentation and in [`place::Place`].

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "Clippy takes the helpers of integration tests for production code"
)]

mod adoption;
mod change;
mod fleet;
#[path = "../it/harness/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the other tests use the rest of it")]
mod harness;
mod lines;
mod names;
mod place;
mod removal;
mod scale;
mod start;
mod toy;
mod trouble;

/// Makes each case a test of each platform.
macro_rules! cases {
    ($($module:ident: $($case:ident)+;)+) => {
        mod local {
            $($(
                #[test]
                fn $case() {
                    crate::place::Place::local().run(crate::$module::$case);
                }
            )+)+
        }

        mod kubernetes {
            $($(
                #[test]
                fn $case() {
                    crate::place::Place::kubernetes().run(crate::$module::$case);
                }
            )+)+
        }
    };
}

cases! {
    start:
        tasks_start_in_order_and_are_ready_when_they_answer
        tasks_get_what_the_plan_promises;
    trouble:
        readiness_that_goes_and_comes_back_is_told
        tasks_that_end_are_started_again
        tasks_that_cannot_run_are_given_up_with_the_reason
        a_task_above_its_memory_limit_is_killed_and_that_is_told;
    scale:
        tasks_are_added_and_emptied_before_they_are_taken_away
        tasks_that_hold_work_are_taken_away_by_force
        what_cannot_be_scaled_is_refused;
    change:
        a_changed_document_replaces_what_changed_and_no_more;
    removal:
        tasks_end_well_in_the_opposite_order
        what_comes_up_can_be_taken_down_by_force;
    adoption:
        a_new_controller_goes_on_with_what_runs;
    names:
        two_instances_side_by_side
        names_that_nothing_has_are_answered_with_the_nearest
        of_two_that_apply_the_same_at_once_one_creates
        of_two_documents_at_once_one_wins;
    lines:
        lines_of_all_of_a_role_and_of_a_task
        lines_are_followed_over_restarts_to_the_end;
}
