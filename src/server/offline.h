/* SPDX-License-Identifier: Apache-2.0
 *
 * What the server program does to a data folder while no server uses it. Each prints to standard
 * output what it found, to standard error why it could not, and returns the exit code of the
 * process.
 */
#pragma once

/* Proves that a data folder, or a backup, agrees with itself (table/verify.h); changes nothing. 0:
 * it does; 1: problems were found, or it cannot be read. */
int offline_verify(const char *folder);

/* Makes a data folder out of a backup; the folder must be missing or empty. 0, or 1. */
int offline_restore(const char *backup, const char *folder);
