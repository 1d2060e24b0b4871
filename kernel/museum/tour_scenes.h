// tour_scenes.h - short runs of heap calls with nothing around them, for the guided tours in
// docs/tours.
#pragma once

#include <stdbool.h>

// scene=NAME on the command line. Prints the list and gives false if there is no such scene.
// Threads only; no other thread may use the heap meanwhile.
bool scene_run(const char *name);
