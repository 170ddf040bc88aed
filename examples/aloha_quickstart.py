"""ALOHA with pictures as observations: two episodes of a random walk of both arms, filmed.

python examples/aloha_quickstart.py aloha.mp4            needs pip install '.[render]'
"""

import sys

import gymnasium
import imageio.v2 as imageio

import lerobot_puffer  # noqa: F401  (gymnasium 1.x learns its ids here)


def film(path: str, episodes: int = 2, steps: int = 150) -> int:
    """Write what the camera `angle` sees, in real time; returns the number of frames."""
    env = gymnasium.make(
        "lerobot_puffer/AlohaInsertion-v0",  # or AlohaTransferCube-v0
        obs_type="pixels_agent_pos",  # or "pixels", "state"
        cameras=("top", "left_wrist"),
        observation_width=160,
        observation_height=120,
        visualization_width=320,  # of what render() returns
        visualization_height=240,
        camera="angle",
        max_episode_steps=steps,
        options={"mode": "delta"},  # small moves; joint angles in rad without it, as in gym-aloha
    )
    env.action_space.seed(0)
    frames = 0
    with imageio.get_writer(path, fps=env.metadata["render_fps"]) as video:
        for episode in range(episodes):
            observation, info = env.reset(seed=episode)
            ended = False
            while not ended:
                action = env.action_space.sample()  # a policy reads the observation here
                observation, reward, terminated, truncated, info = env.step(action)
                ended = terminated or truncated
                video.append_data(env.render())
                frames += 1
            pictures, joints = observation["pixels"], observation["agent_pos"]
            print({name: picture.shape for name, picture in pictures.items()}, joints.shape)
            print(f"episode {episode}: reward {reward}, success {info['is_success']}")
    env.close()
    return frames


if __name__ == "__main__":
    print(film(sys.argv[1] if len(sys.argv) > 1 else "aloha.mp4"), "frames")
