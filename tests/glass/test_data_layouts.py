"""Folders in the layouts of the public data sets, as small trees."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_cloth import paint_good, save, weave, whole_width

from glass_edge.errors import InputError
from glass_edge.glass.data import GoodData, OnBadImage, TileShape, load_good_data
from glass_edge.glass.data_folder import Layout, good_files, labelled_files, recognise
from glass_edge.glass.data_labelled import LabelledData, load_labelled_data

TILE = TileShape(64, 64, 16, 1)
SIZE = (80, 96)
RNG = np.random.default_rng(0)


def blot(value: int = 255) -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[30:40, 50:70] = value
    return mask


def images(folder: Path, names: Sequence[str]) -> None:
    for name in names:
        save(folder / name, weave(RNG, *SIZE))


def good(folder: Path) -> GoodData:
    return load_good_data(folder, TILE, whole_width, holdout=0.25, seed=0)


def labelled(folder: Path, on_bad_image: OnBadImage = "stop") -> LabelledData:
    return load_labelled_data(folder, TILE, whole_width, on_bad_image=on_bad_image)


def names_of(data: GoodData) -> list[str]:
    return sorted(strip.name for strip in (*data.train, *data.holdout))


def visa(root: Path, obj: str = "candle", normal: int = 12, *, split: bool = True) -> Path:
    """An object of VisA: masks of labels, images as .JPG, with the split of the archive or without."""
    folder = root / obj
    images(folder / "Data/Images/Normal", [f"{number:04d}.JPG" for number in range(normal)])
    images(folder / "Data/Images/Anomaly", ["000.JPG", "001.JPG"])
    save(folder / "Data/Masks/Anomaly/000.png", blot(1))
    mask = blot(3)
    mask[60:70, 10:20] = 7
    save(folder / "Data/Masks/Anomaly/001.png", mask)
    (folder / "image_anno.csv").write_text("image,label,mask\n")
    if split:
        lines = ["object,split,label,image,mask"]
        for number in range(normal):
            part = "test" if number % 4 == 1 else "train"
            lines.append(f"{obj},{part},normal,{obj}/Data/Images/Normal/{number:04d}.JPG,")
        for number in range(2):
            path = f"Data/Images/Anomaly/{number:03d}.JPG"
            lines.append(f"{obj},test,anomaly,{obj}/{path},{obj}/Data/Masks/Anomaly/{number:03d}.png")
        lines.append("pcb1,train,normal,pcb1/Data/Images/Normal/0000.JPG,")
        (root / "split_csv").mkdir(exist_ok=True)
        (root / "split_csv" / "1cls.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_visa_is_divided_by_its_split_file(tmp_path: Path) -> None:
    folder = visa(tmp_path)
    assert recognise(folder) is Layout.VISA
    trained = [number for number in range(12) if number % 4 != 1]
    assert names_of(good(folder)) == [f"Data/Images/Normal/{number:04d}.JPG" for number in trained]
    found = {image.strip.name: image for image in labelled(folder)}
    assert sorted(found) == [
        *(f"Data/Images/Anomaly/00{number}.JPG" for number in range(2)),
        *(f"Data/Images/Normal/{number:04d}.JPG" for number in (1, 5, 9)),
    ]
    kinds = {Path(name).parent.name: image.kind for name, image in found.items()}
    assert kinds == {"Normal": "good", "Anomaly": "anomaly"}


def test_visa_masks_hold_labels(tmp_path: Path) -> None:
    folder = visa(tmp_path)
    palette = Image.fromarray(blot(2)).convert("P")
    palette.putpalette([0, 0, 0] * 256)  # a palette that shows every label as black
    palette.save(folder / "Data/Masks/Anomaly/000.png")
    found = {image.strip.name: image.mask for image in labelled(folder)}
    assert np.array_equal(found["Data/Images/Anomaly/000.JPG"], blot() > 0)
    both = blot() > 0
    both[60:70, 10:20] = True
    assert np.array_equal(found["Data/Images/Anomaly/001.JPG"], both)
    assert not found["Data/Images/Normal/0001.JPG"].any()


def test_visa_without_a_split_tests_on_images_chosen_by_their_names(tmp_path: Path) -> None:
    folder = visa(tmp_path, normal=60, split=False)
    trained = {path.name for path in good_files(folder)}
    tested = {file.path.name for file in labelled_files(folder)[0] if file.kind == "good"}
    everything = {f"{number:04d}.JPG" for number in range(60)}
    assert trained | tested == everything
    assert not trained & tested
    assert tested == {name for name in everything if int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10 == 0}
    assert tested
    images(folder / "Data/Images/Normal", [f"{number:04d}.JPG" for number in range(60, 90)])
    assert {path.name for path in good_files(folder)} & everything == trained  # more images move none of the others


def test_visa_with_few_images_and_no_split_still_tests_on_one(tmp_path: Path) -> None:
    folder = visa(tmp_path, normal=3, split=False)
    assert len(good_files(folder)) == 2
    assert len(labelled_files(folder)[0]) == 3


def test_visa_converted_is_read_like_mvtec(tmp_path: Path) -> None:
    folder = tmp_path / "1cls" / "candle"
    images(folder / "train/good", ["0000.JPG", "0002.JPG"])
    images(folder / "test/good", ["0001.JPG"])
    images(folder / "test/bad", ["000.JPG"])
    save(folder / "ground_truth/bad/000.png", blot())
    (folder / "ground_truth/good").mkdir()
    assert recognise(folder) is Layout.MVTEC
    assert names_of(good(folder)) == ["train/good/0000.JPG", "train/good/0002.JPG"]
    assert {image.strip.name: image.kind for image in labelled(folder)} == {
        "test/good/0001.JPG": "good", "test/bad/000.JPG": "bad"
    }  # fmt: skip


@pytest.mark.parametrize("mask", ["{0}_mask.png", "{0}.png", "{0}.bmp", "{0}_mask.TIF"])
@pytest.mark.parametrize("dataset", ["MPDD/bracket_black", "WFDD/grey_cloth"])
def test_mpdd_and_wfdd_are_read_like_mvtec_whatever_their_masks_are_called(
    tmp_path: Path, dataset: str, mask: str
) -> None:
    folder = tmp_path / dataset
    kinds = ["hole", "scratches"] if "MPDD" in dataset else ["block", "line", "point"]
    images(folder / "train/good", ["000.png", "001.png", "002.png"])
    images(folder / "test/good", ["000.png"])
    for kind in kinds:
        images(folder / "test" / kind, ["000.png", "001.png"])
        for number in range(2):
            save(folder / "ground_truth" / kind / mask.format(f"00{number}"), blot())
    save(folder.parent / "fg_mask" / folder.name / "000.png", blot())  # beside the classes, as in WFDD
    assert names_of(good(folder)) == [f"train/good/00{number}.png" for number in range(3)]
    found = list(labelled(folder))
    assert sorted({image.kind for image in found}) == sorted(["good", *kinds])
    assert all(np.array_equal(image.mask, blot() > 0) for image in found if image.kind != "good")


def test_recognition_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "Data").mkdir()
    with pytest.raises(InputError) as caught:
        recognise(tmp_path)
    for looked_for in (str(tmp_path), ".png", "train/good", "Data/Images/Normal"):
        assert looked_for in str(caught.value)


def test_a_folder_of_data_sets_names_them(tmp_path: Path) -> None:
    visa(tmp_path, "candle")
    visa(tmp_path, "pcb1")
    paint_good(tmp_path / "carpet" / "train" / "good", 1)
    with pytest.raises(InputError, match=r"3 data set\(s\): candle, carpet, pcb1; give the folder of one"):
        good_files(tmp_path)


def test_two_layouts_at_once_are_refused(tmp_path: Path) -> None:
    folder = visa(tmp_path)
    (folder / "train").mkdir()
    with pytest.raises(InputError, match=r"holds both Data/Images/Normal \(VisA\) and train"):
        good_files(folder)


def rewrite(root: Path, old: str, new: str) -> None:
    path = root / "split_csv" / "1cls.csv"
    path.write_text(path.read_text().replace(old, new))


def test_faults_of_a_split_file_are_named(tmp_path: Path) -> None:
    folder = visa(tmp_path)
    split = tmp_path / "split_csv" / "1cls.csv"
    images(folder / "Data/Images/Normal", ["0100.JPG"])
    with pytest.raises(InputError, match=r"Normal/0100\.JPG: not named in .*1cls\.csv; add their lines"):
        good_files(folder)
    (folder / "Data/Images/Normal/0100.JPG").unlink()
    (folder / "Data/Images/Normal/0007.JPG").unlink()
    with pytest.raises(InputError, match=r"Normal/0007\.JPG: missing, but named in"):
        labelled_files(folder)
    images(folder / "Data/Images/Normal", ["0007.JPG"])
    rewrite(tmp_path, "candle,test,anomaly", "candle,train,anomaly")
    with pytest.raises(InputError, match=r"line 14: 'candle/Data/Images/Anomaly/000\.JPG' is no normal image"):
        good_files(folder)
    rewrite(tmp_path, "candle,train,anomaly", "candle,validate,anomaly")
    with pytest.raises(InputError, match=r"line 14: split 'validate'"):
        good_files(folder)
    rewrite(tmp_path, "object,split", "class,split")
    with pytest.raises(InputError, match="no column 'object'"):
        good_files(folder)
    split.write_bytes(b"object,split,label,image,mask\n\xff\xfe\n")
    with pytest.raises(InputError, match=r"1cls\.csv: cannot be read"):
        good_files(folder)


def test_a_renamed_object_is_not_in_the_split(tmp_path: Path) -> None:
    folder = visa(tmp_path)
    renamed = folder.rename(tmp_path / "candles")
    with pytest.raises(InputError, match="no line of object 'candles'"):
        good_files(renamed)
    shutil.rmtree(tmp_path / "split_csv")
    assert good_files(renamed)


def test_missing_and_wrong_masks_of_visa_are_named(tmp_path: Path) -> None:
    folder = visa(tmp_path)
    (folder / "Data/Masks/Anomaly/000.png").unlink()
    save(folder / "Data/Masks/Anomaly/001.png", blot()[:-1])
    save(folder / "Data/Masks/Anomaly/009.png", blot())
    with pytest.raises(InputError) as caught:
        labelled(folder)
    text = str(caught.value)
    assert "Data/Images/Anomaly/000.JPG: no mask; Data/Masks/Anomaly/000_mask.png or 000.png is needed" in text
    assert "Data/Images/Anomaly/001.JPG: 96 x 80 px, but its mask" in text
    assert "Data/Masks/Anomaly/009.png: a mask without its image" in text
    assert len(labelled(folder, "skip")) == 3


def test_a_faint_mask_that_is_no_label_image_is_refused(tmp_path: Path) -> None:
    images(tmp_path / "test/hole", ["1.png"])
    save(tmp_path / "ground_truth/hole/1.png", blot(7))
    with pytest.raises(InputError, match=r"1\.png: a mask whose brightest pixel is 7; defects are marked by 255"):
        list(labelled(tmp_path))
