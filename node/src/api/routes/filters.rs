//! `GET /v1/filters`: how compact filters stand.

use axum::Json;
use axum::extract::State;

use crate::api::dto::FiltersDto;
use crate::filters::Filters;

pub(in crate::api) async fn get(State(filters): State<Filters>) -> Json<FiltersDto> {
    Json(FiltersDto::of(&filters))
}
