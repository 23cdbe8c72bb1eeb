#pragma once

#include "lcip-io.h"

/* What the files of test-io share. */

/* ---- files: in this run's own folder, and in the source ---- */

char *in_scratch(const char *name);
char *in_source(const char *name);
void put(const char *path, gconstpointer data, gsize size);
GBytes *get(const char *path);
void assert_same_file(const char *a, const char *b);
void assert_error_has(GError *error, const char *fragment);
/* The weights file of the tests' corpus in @folder. */
char *weights_beside(const char *folder);

/* ---- tensors and graphs ---- */

LcipTensor *f32_tensor(guint n, float first);
/* Reads every byte of a tensor, so that memory checkers see it. */
guint touch(LcipTensor *tensor);
/* A graph with everything odd that a document can hold. */
LcipGraph *odd_graph(void);
/* Writes, reads and writes: the same bytes. */
void round_trip(const LcipGraph *graph, const char *name);

/* ---- tests that also run under another locale ---- */

void test_examples(void);
void test_weights_round_trip(void);
void test_npy_round_trip(void);

/* ---- each file adds its tests ---- */

void add_xml_tests(void);
void add_tensor_tests(void);
void add_damage_tests(void);
