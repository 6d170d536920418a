//! `GET /v1/health`: every check, run now.

use axum::Json;
use axum::extract::State;

use crate::api::Health;
use crate::api::dto::HealthDto;

pub(in crate::api) async fn get(State(health): State<Health>) -> Json<HealthDto> {
    health.run_all().await;
    Json(HealthDto::of(&health))
}
