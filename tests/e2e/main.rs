//! The real program on a real kernel, held against truth that is not ours: the kernel's own trace, `TCP_INFO`, `ss`,
//! `/proc`. Needs root. Runs on the host and, as one static file, in the guests of `script/vm`.

#[macro_use]
mod support;

mod accept;
mod accounting;
mod algorithms;
mod big_tcp;
mod check;
mod churn;
mod clock;
mod command;
mod commands_view;
mod cong_derived;
mod cong_sums;
mod connect;
mod connlat;
mod connlat_histogram;
mod drop_command;
mod drop_reasons;
mod episode;
mod events_counters;
mod events_drop;
mod events_stream;
mod events_tracefs;
mod filters;
mod filters_process;
mod filters_socket;
mod follow;
mod forgotten;
mod formats;
mod life;
mod life_open;
mod life_samples;
mod limits;
mod loads;
mod open_before;
mod output;
mod owner;
#[macro_use]
mod peers;
mod peers_bt;
mod peers_fields;
mod peers_histograms;
mod peers_trace;
mod queue;
mod queue_many;
mod readers_agree;
mod refused;
mod requests;
mod retrans_sums;
mod rights;
mod rtt;
mod signals;
mod socket_state;
mod ss;
mod state_times;
mod states;
mod tcp_info;
mod terminal;
mod time_order;
mod top;
mod tracefs;
mod vanishing;
mod verdict;
mod zero_window;
