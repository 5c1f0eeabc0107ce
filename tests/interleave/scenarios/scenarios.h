/* SPDX-License-Identifier: MIT
 *
 * Every scenario, a file for each kind; list.c has them in the order in which they run. */
#ifndef SCENARIOS_H
#define SCENARIOS_H

#include "explore.h"

extern const struct scenario litmus_mp;
extern const struct scenario litmus_mp_relaxed_store;
extern const struct scenario litmus_mp_relaxed_load;
extern const struct scenario litmus_mp_fences;
extern const struct scenario litmus_mp_fence_acquire;
extern const struct scenario litmus_mp_one_fence;
extern const struct scenario litmus_release_sequence;
extern const struct scenario litmus_sb;
extern const struct scenario litmus_sb_fences;
extern const struct scenario litmus_sb_one_fence;
extern const struct scenario litmus_sb_barrier;
extern const struct scenario litmus_sb_reordered;
extern const struct scenario litmus_sb_unregistered;
extern const struct scenario litmus_iriw;
extern const struct scenario litmus_iriw_fences;
extern const struct scenario litmus_wrc;
extern const struct scenario litmus_corr;
extern const struct scenario litmus_corr_two;
extern const struct scenario litmus_22w;
extern const struct scenario litmus_22w_release;
extern const struct scenario litmus_22w_fences;
extern const struct scenario litmus_adds;
extern const struct scenario litmus_swaps;
extern const struct scenario litmus_body;
extern const struct scenario litmus_body_race;
extern const struct scenario litmus_free_race;
extern const struct scenario litmus_death;
extern const struct scenario litmus_death_reordered;
extern const struct scenario litmus_death_ordered;
extern const struct scenario lane_messages;
extern const struct scenario lane_pads;
extern const struct scenario lane_pairs;
extern const struct scenario lane_aligned;
extern const struct scenario lane_counting;
extern const struct scenario lane_holding;
extern const struct scenario lane_taken;
extern const struct scenario lane_batches;
extern const struct scenario lane_announced;
extern const struct scenario lane_growth;
extern const struct scenario lane_writer_dies;
extern const struct scenario lane_writer_dies_padding;
extern const struct scenario lane_writer_dies_announcing;
extern const struct scenario lane_two_writers_die;
extern const struct scenario lane_batch_dies;
extern const struct scenario lane_reader_dies;
extern const struct scenario lane_both_die;
extern const struct scenario lane_stops;
extern const struct scenario waiting_once;
extern const struct scenario waiting_twice;
extern const struct scenario waiting_unregistered;
extern const struct scenario waiting_fence;
extern const struct scenario waiting_bell;
extern const struct scenario waiting_bell_read;
extern const struct scenario waiting_bell_careless;
extern const struct scenario waiting_two_wakers;
extern const struct scenario waiting_dead_waker;
extern const struct scenario waiting_dead_bell;
extern const struct scenario index_publication;
extern const struct scenario index_full;
extern const struct scenario index_laps;
extern const struct scenario index_two_receivers;
extern const struct scenario index_two_senders;
extern const struct scenario index_two_each;
extern const struct scenario index_last_lap;
extern const struct scenario index_carrying;
extern const struct scenario index_carrying_unclaimed;
extern const struct scenario index_quick;
extern const struct scenario index_withdrawal;
extern const struct scenario index_withdrawal_again;
extern const struct scenario index_settling;
extern const struct scenario index_dropping;
extern const struct scenario index_taking_away;
extern const struct scenario index_giving_back;
extern const struct scenario index_reading;
extern const struct scenario index_overtaking;
extern const struct scenario index_receipts;
extern const struct scenario index_widening;
extern const struct scenario index_lapping;
extern const struct scenario index_late;
extern const struct scenario index_sender_dies;
extern const struct scenario index_receiver_dies;
extern const struct scenario index_two_receivers_die;
extern const struct scenario index_stops;
extern const struct scenario participants_joining;
extern const struct scenario participants_looking;
extern const struct scenario participants_coming;
extern const struct scenario participants_appearing;
extern const struct scenario participants_statistics;
extern const struct scenario participants_announced;
extern const struct scenario participants_burying;
extern const struct scenario participants_burying_both;
extern const struct scenario participants_burier_dies;

#endif
