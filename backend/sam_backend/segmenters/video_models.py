"""The video models of the package `transformers`, with their memory of frames: SAM 2.1, EdgeTAM and SAM 3's tracker."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from sam_backend.arrays import BoolArray, ImageArray
from sam_backend.errors import SamInspectError
from sam_backend.samples import Cropped
from sam_backend.segmenters.protocol import Prompt
from sam_backend.segmenters.torch_place import TorchPlace
from sam_backend.segmenters.tracking import TrackedMask

_BOX_CORNERS = (2, 3)
"""The labels of a box's corners among SAM's points."""


class MemoryTracker:
    """A `Tracker` around a video model.

    Parameters
    ----------
    model : module of `transformers` that takes a session of its own module, for example `Sam2VideoModel`.
    images : its image processor.
    name, version : str, as in `Tracker`.
    device : str or None, a torch device; None takes a CUDA GPU if there is one.
    """

    def __init__(self, model: Any, images: Any, name: str, version: str, *, device: str | None = None) -> None:
        self.name, self.version = name, version
        self._place = TorchPlace(name, device)
        self._model = self._place.put(model)
        _give_scores_one_shape(model)
        self._images = images
        kind = type(model)
        self._session = getattr(import_module(kind.__module__), kind.__name__.replace("Model", "InferenceSession"))

    def start(self) -> MemorySession:
        """Begin a video."""
        device = self._place.device
        devices = {"inference_device": device, "inference_state_device": device, "video_storage_device": device}
        session = self._session(**devices, dtype=torch.float32)
        return MemorySession(self._model, self._images, session, device, self.name)


class MemorySession:
    """A `TrackingSession`. Only what the model will look at again is kept: the last frames, and those with prompts."""

    def __init__(self, model: Any, images: Any, session: Any, device: str, name: str) -> None:
        self._model, self._images, self._session = model, images, session
        self._device, self._name = device, name
        self._side: int = images.size["height"]
        # As far back as the model takes memories of masks, or pointers to objects.
        self._reach: int = max(model.config.num_maskmem, model.config.max_object_pointers_in_encoder)
        self._index = -1

    def step(self, pixels: ImageArray, prompts: Mapping[int, Prompt]) -> dict[int, TrackedMask]:
        """Look at the next frame; see `TrackingSession.step`.

        Raises
        ------
        SamInspectError
            If the memory of the GPU does not suffice.
        """
        self._index += 1
        size = pixels.shape[0], pixels.shape[1]
        for number, prompt in prompts.items():
            self._ask(number, prompt, size)
        if not self._session.obj_ids:
            return {}
        self._session.obj_with_new_inputs = list(prompts)
        inputs = self._images(images=pixels, input_data_format="channels_last", return_tensors="pt")
        try:
            with torch.inference_mode():
                answer = self._model(
                    self._session, frame=inputs["pixel_values"].to(self._device), frame_idx=self._index
                )
                masks = interpolate(answer.pred_masks.float(), size, mode="bilinear", align_corners=False)[:, 0] > 0
        except torch.OutOfMemoryError:
            raise SamInspectError(
                f"The memory of {self._device} does not suffice to follow {len(self._session.obj_ids)} objects with "
                f"{self._name}; follow fewer at once, or take a smaller model."
            ) from None
        self._forget()
        logits = answer.object_score_logits.float().flatten().cpu()
        return {
            number: _tracked(mask.cpu().numpy(), float(logit.sigmoid()), size)
            for number, mask, logit in zip(answer.object_ids, masks, logits, strict=True)
        }

    def _ask(self, number: int, prompt: Prompt, size: tuple[int, int]) -> None:
        """Hand a prompt to the session, in the model's own frame."""
        index = self._session.obj_id_to_idx(number)
        if prompt.mask is not None and not len(prompt.points):
            mask = torch.from_numpy(prompt.mask)[None, None].float()
            if tuple(mask.shape[2:]) != (self._side, self._side):
                square = interpolate(
                    mask, (self._side, self._side), mode="bilinear", align_corners=False, antialias=True
                )
                mask = (square >= 0.5).float()
            self._session.add_mask_inputs(index, self._index, mask)
            return
        corners = np.zeros((0, 2)) if prompt.box is None else np.reshape(prompt.box, (2, 2))
        points = torch.as_tensor(np.concatenate([corners, prompt.points]), dtype=torch.float32)
        scale = torch.tensor([self._side / size[1], self._side / size[0]])
        labels = torch.tensor([*_BOX_CORNERS[: len(corners)], *prompt.labels.tolist()], dtype=torch.int32)
        inputs: dict[str, Tensor] = {"point_coords": (points * scale)[None, None], "point_labels": labels[None, None]}
        self._session.add_point_inputs(index, self._index, inputs)

    def _forget(self) -> None:
        session, oldest = self._session, self._index - self._reach
        session.processed_frames.clear()
        for index in session.output_dict_per_obj:
            seen = session.output_dict_per_obj[index]
            for outputs in seen.values():
                # The memory has been made of it.
                outputs.get(self._index, {}).pop("high_res_masks", None)
            for kept in (seen["non_cond_frame_outputs"], session.frames_tracked_per_obj[index]):
                kept.pop(oldest, None)
            session.point_inputs_per_obj[index].clear()
            session.mask_inputs_per_obj[index].clear()


def _give_scores_one_shape(model: Any) -> None:
    """Let the score of an object that is given by its mask have as many axes as those of all others.

    Version 5.24 of the package fails where a frame has objects of both kinds.
    """
    answer = model._use_mask_as_output

    def answer_of_one_shape(*given: Any, **named: Any) -> Any:
        made = answer(*given, **named)
        made.object_score_logits = made.object_score_logits.reshape(-1, 1, 1)
        return made

    model._use_mask_as_output = answer_of_one_shape


def _tracked(mask: BoolArray, score: float, size: tuple[int, int]) -> TrackedMask:
    if score <= 0.5 or not mask.any():
        return TrackedMask.absent(size, score)
    return TrackedMask(Cropped.of(mask), score, visible=True)
