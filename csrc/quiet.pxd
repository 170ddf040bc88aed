"""Keeps MuJoCo's warnings about a diverging simulation off stderr and out of MUJOCO_LOG.TXT.

The step counts them itself. Warnings of other threads, and of MuJoCo used beside the core, go where
they went before.
"""

cdef extern from * nogil:
    """
    #include <stdio.h>
    #include <mujoco/mujoco.h>

    static _Thread_local int lerobot_puffer_quiet = 0;
    static void (*lerobot_puffer_handler)(const char*) = NULL;

    static void lerobot_puffer_warning(const char* message) {
      if (lerobot_puffer_quiet) {
        return;
      }
      if (lerobot_puffer_handler) {
        lerobot_puffer_handler(message);
      } else {
        mju_writeLog("WARNING", message);
        fprintf(stderr, "WARNING: %s\\n\\n", message);
      }
    }

    static void install_warning_handler(void) {
      lerobot_puffer_handler = mju_user_warning;
      mju_user_warning = lerobot_puffer_warning;
    }

    static void set_quiet(int quiet) {
      lerobot_puffer_quiet = quiet;
    }
    """
    void install_warning_handler()
    void set_quiet(int quiet)
