# included by core.pyx: what compile/ and the tests read of program.pxd and random.pxd

cdef Signal _signal
cdef Condition _condition
cdef Level _level
cdef Action _action
cdef Observation _observation
cdef Reward _reward
cdef Reset _reset
cdef Draw _draw
cdef Write _write
cdef Lift _lift
cdef Push _push
cdef Episode _episode

# the numpy layouts of the tables, taken from the structs themselves
DTYPES = {
    "signal": np.asarray(<Signal[:1]>&_signal).dtype,
    "condition": np.asarray(<Condition[:1]>&_condition).dtype,
    "level": np.asarray(<Level[:1]>&_level).dtype,
    "action": np.asarray(<Action[:1]>&_action).dtype,
    "observation": np.asarray(<Observation[:1]>&_observation).dtype,
    "reward": np.asarray(<Reward[:1]>&_reward).dtype,
    "reset": np.asarray(<Reset[:1]>&_reset).dtype,
    "draw": np.asarray(<Draw[:1]>&_draw).dtype,
    "write": np.asarray(<Write[:1]>&_write).dtype,
    "lift": np.asarray(<Lift[:1]>&_lift).dtype,
    "push": np.asarray(<Push[:1]>&_push).dtype,
    "episode": np.asarray(<Episode[:1]>&_episode).dtype,
}

# the codes of every kind, by the name of its kernel
KINDS = {
    "point": {"body": POINT_BODY, "site": POINT_SITE, "geom": POINT_GEOM, "goal": POINT_GOAL,
              "chosen": POINT_CHOSEN, "fixed": POINT_FIXED, "midpoint": POINT_MIDPOINT},
    "signal": {"distance": SIGNAL_DISTANCE, "height": SIGNAL_HEIGHT, "speed": SIGNAL_SPEED,
               "angular_speed": SIGNAL_ANGULAR_SPEED, "joint_position": SIGNAL_JOINT_POSITION,
               "joint_speed": SIGNAL_JOINT_SPEED, "control": SIGNAL_CONTROL,
               "contact": SIGNAL_CONTACT,
               "contact_force": SIGNAL_CONTACT_FORCE, "alignment": SIGNAL_ALIGNMENT,
               "face_alignment": SIGNAL_FACE_ALIGNMENT,
               "latch": SIGNAL_LATCH},
    "action": {"absolute": ACTION_ABSOLUTE, "normalized": ACTION_NORMALIZED,
               "delta": ACTION_DELTA, "pose": ACTION_POSE},
    "observe": {"field": OBSERVE_FIELD, "position": OBSERVE_POSITION, "axis": OBSERVE_AXIS,
                "goal": OBSERVE_GOAL, "choice": OBSERVE_CHOICE,
                "target_error": OBSERVE_TARGET_ERROR, "signal": OBSERVE_SIGNAL,
                "time": OBSERVE_TIME},
    "field": {"qpos": FIELD_QPOS, "qvel": FIELD_QVEL, "ctrl": FIELD_CTRL,
              "actuator_force": FIELD_ACTUATOR_FORCE, "sensordata": FIELD_SENSORDATA,
              "mocap_pos": FIELD_MOCAP_POS, "mocap_quat": FIELD_MOCAP_QUAT},
    "reward": {"negative": REWARD_NEGATIVE, "gaussian": REWARD_GAUSSIAN, "tanh": REWARD_TANH,
               "tolerance": REWARD_TOLERANCE, "ramp": REWARD_RAMP, "indicator": REWARD_INDICATOR,
               "stages": REWARD_STAGES, "success": REWARD_SUCCESS},
    "reset": {"joints": RESET_JOINTS, "pose": RESET_POSE, "goal": RESET_GOAL,
              "choice": RESET_CHOICE, "mocap": RESET_MOCAP},
    "write": {"scale": WRITE_SCALE, "add": WRITE_ADD, "rotate": WRITE_ROTATE},
    "refresh": {"kinematics": REFRESH_KINEMATICS, "contacts": REFRESH_CONTACTS,
                "velocities": REFRESH_VELOCITIES},
    "autoreset": {"same_step": AUTORESET_SAME_STEP, "next_step": AUTORESET_NEXT_STEP,
                  "disabled": AUTORESET_DISABLED},
}
SIGNALS_MAX = MAX_SIGNALS


def philox_block(counter, key):
    """One Philox4x32-10 block: four uint32 from a counter of four and a key of two."""
    cdef uint32_t x[4]
    cdef int i
    for i in range(4):
        x[i] = counter[i]
    philox(x, key[0], key[1])
    return x[0], x[1], x[2], x[3]


def apply_writes(writes, memory, fields):
    """Apply draws to the fields of a model that is not a simulation's, as one to draw with.

    Args:
      writes: (n,) rows of the table `write`.
      memory: (nmemory,) float64 of the simulation.
      fields: the model's arrays, in the order that `writes` counts them; they are changed.
    """
    cdef const Write[::1] rows = writes
    cdef const double[::1] values = memory
    cdef Py_ssize_t i
    addresses = [array.ctypes.data for array in fields]
    for i in range(rows.shape[0]):
        write_number(&rows[i], &values[0], <void*><uintptr_t>addresses[rows[i].field])
